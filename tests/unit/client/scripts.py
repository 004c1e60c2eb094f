"""The script of the producers' tests: Enqueue and EnqueueBatch are answered, after the faults that a test asks for."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from relay.v1 import errors_pb2, queue_service_pb2
from relay_conformance.scripted import Call, Refuse, ScriptedServer
from tests.support.waiting import until

Request = queue_service_pb2.EnqueueRequest | queue_service_pb2.EnqueueBatchRequest
Rule = Callable[[Request], Refuse | None]


def refuse(
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "scripted",
    *,
    metadata: dict[str, str] | None = None,
    retry_after: float | None = None,
    violations: dict[str, str] | None = None,
) -> Refuse:
    """A refusal with the details that Relay sends."""
    details: list[Message] = []
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=retry_after))
        details.append(retry)
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="relay", metadata=metadata or {}))
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, text in violations.items():
            bad.field_violations.add(field=field, description=text)
        details.append(bad)
    return Refuse(code, message, *details)


UNAVAILABLE = refuse(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "Redis is down")


class QueueScript(ScriptedServer):
    """`faults` are used up first, one a call; then `rule` may refuse; then calls wait for `gate` and are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: deque[Refuse] = deque()
        self.rule: Rule = lambda _request: None
        self.job_reasons: dict[str, errors_pb2.ErrorReason.ValueType] = {}
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def stop(self) -> None:
        self.gate.set()
        super().stop()

    def answer(self, call: Call) -> Message:
        with self._lock:
            refused = self.faults.popleft() if self.faults else self.rule(call.request)
        self.gate.wait(30)
        if refused is not None:
            raise refused
        if call.rpc == "Enqueue":
            return queue_service_pb2.EnqueueResponse(job_id=call.request.job.id)
        response = queue_service_pb2.EnqueueBatchResponse()
        for job in call.request.jobs:
            reason = self.job_reasons.get(job.type, errors_pb2.ERROR_REASON_UNSPECIFIED)
            response.results.add(job_id="holder" if reason else job.id, reason=reason)
        return response

    def wait_for_calls(self, count: int) -> None:
        until(lambda: len(self.calls) >= count, what=f"{count} calls")

    def batches(self) -> list[queue_service_pb2.EnqueueBatchRequest]:
        return self.requests("EnqueueBatch")

    def job_ids(self) -> Counter[str]:
        """How often each job was sent."""
        found: Counter[str] = Counter()
        for request in self.requests():
            jobs = (
                [request.job] if isinstance(request, queue_service_pb2.EnqueueRequest) else list(request.jobs)
            )
            found.update(job.id for job in jobs)
        return found
