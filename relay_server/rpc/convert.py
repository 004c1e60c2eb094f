"""Between the contract's messages and the server's own data, for what producers and workers use."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from relay.v1 import errors_pb2, queue_service_pb2
from relay_server.model import Enqueued, Extended, Nacked
from relay_server.rpc.ids import uuid_text
from relay_server.words import EnqueueWord, LeaseWord, NackWord

_Q = queue_service_pb2
LEASE_OUTCOMES = {
    LeaseWord.OK: _Q.LEASE_OUTCOME_OK,
    LeaseWord.LEASE_LOST: _Q.LEASE_OUTCOME_LEASE_LOST,
    LeaseWord.GONE: _Q.LEASE_OUTCOME_GONE,
    LeaseWord.CANCELLED: _Q.LEASE_OUTCOME_CANCELLED,
}
NACK_WORDS = {
    _Q.NACK_KIND_RETRY: NackWord.RETRY,
    _Q.NACK_KIND_DEAD: NackWord.DEAD,
    _Q.NACK_KIND_RELEASE: NackWord.RELEASE,
    _Q.NACK_KIND_THROTTLED: NackWord.THROTTLED,
}


def enqueue_result(answer: Enqueued) -> queue_service_pb2.EnqueueResult:
    word = answer.word
    reason = errors_pb2.ERROR_REASON_UNSPECIFIED
    if word is EnqueueWord.MISMATCH:
        reason = errors_pb2.ERROR_REASON_IDEMPOTENCY_MISMATCH
    elif word is EnqueueWord.FULL:
        reason = errors_pb2.ERROR_REASON_QUEUE_FULL
    return queue_service_pb2.EnqueueResult(
        job_id=uuid_text(answer.job_id), deduplicated=word is EnqueueWord.DUPLICATE, reason=reason
    )


def nack_result(answer: Nacked) -> queue_service_pb2.NackResult:
    result = queue_service_pb2.NackResult(outcome=LEASE_OUTCOMES[answer.word])
    if answer.word is LeaseWord.OK:
        result.state = answer.state  # type: ignore[assignment]
        result.delay.CopyFrom(duration(answer.delay_ms))
    return result


def extend_result(answer: Extended) -> queue_service_pb2.ExtendResult:
    return queue_service_pb2.ExtendResult(
        outcome=LEASE_OUTCOMES[answer.word], lease_remaining=duration(answer.left_ms)
    )


def duration(ms: int) -> Duration:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def timestamp(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
