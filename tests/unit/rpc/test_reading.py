"""A request is read within its bounds: what is over them is refused by name, before it is decoded when it is large."""

import time
import tracemalloc
import uuid
from contextlib import nullcontext
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from relay.v1 import admin_service_pb2, dead_letter_service_pb2, queue_service_pb2
from relay_server import errors, limits
from relay_server.contract import bounds
from relay_server.keda import externalscaler_pb2
from relay_server.rpc import reading, wire

# Fields are given as plain dictionaries, which the messages take and their stubs do not know.
pb: Any = queue_service_pb2
dead: Any = dead_letter_service_pb2
admin: Any = admin_service_pb2
keda: Any = externalscaler_pb2

Q, D, A, K = (
    "/relay.v1.QueueService/",
    "/relay.v1.DeadLetterService/",
    "/relay.v1.AdminService/",
    "/externalscaler.ExternalScaler/",
)
ID = str(uuid.uuid4())
IDS = {"ids": {"ids": [ID] * (limits.IDS_MAX + 1)}}
HEADERS = {f"h{i}": "" for i in range(33)}


def group(ids: int) -> Any:
    return pb.LeaseGroup(queue="q", lease_token=bytes(16), job_ids=[ID] * ids)


OVER: list[tuple[str, Message, str, str]] = [
    (Q + "Enqueue", pb.EnqueueRequest(job={"headers": HEADERS}), "job.headers", "32 entries, has 33"),
    (Q + "EnqueueBatch", pb.EnqueueBatchRequest(jobs=[{}] * 501), "jobs", "500 entries, has 501"),
    (
        Q + "EnqueueBatch",
        pb.EnqueueBatchRequest(jobs=[{}, {"headers": HEADERS}]),
        "jobs[1].headers",
        "32 entries, has 33",
    ),
    (Q + "Claim", pb.ClaimRequest(queues=[{}] * 33), "queues", "32 entries, has 33"),
    (Q + "Claim", pb.ClaimRequest(leases=[group(0)] * 10_001), "leases", "10000 entries, has 10001"),
    (Q + "Claim", pb.ClaimRequest(leases=[group(1)] * 10_001), "leases", "10000 entries, has more"),
    (
        Q + "Claim",
        pb.ClaimRequest(leases=[group(9_999), group(2)]),
        "leases[1].job_ids",
        "10000 entries in all of the request, has 10001",
    ),
    (Q + "Ack", pb.AckRequest(leases=[{}] * 501), "leases", "500 entries, has 501"),
    (
        Q + "Ack",
        pb.AckRequest(leases=[group(1)] * 499 + [group(2)]),
        "leases[499].job_ids",
        "500 entries in all of the request, has 501",
    ),
    (Q + "Nack", pb.NackRequest(jobs=[{}] * 501), "jobs", "500 entries, has 501"),
    (Q + "Extend", pb.ExtendRequest(leases=[{}] * 501), "leases", "500 entries, has 501"),
    (Q + "Extend", pb.ExtendRequest(leases=[group(501)]), "leases[0].job_ids", "in all of the request, has 501"),
    (Q + "Extend", pb.ExtendRequest(progress=[{}] * 501), "progress", "500 entries, has 501"),
    (D + "RequeueDeadLetters", dead.RequeueDeadLettersRequest(**IDS), "ids.ids", "10000 entries, has more"),
    (D + "PurgeDeadLetters", dead.PurgeDeadLettersRequest(**IDS), "ids.ids", "10000 entries, has more"),
    (A + "CancelJobs", admin.CancelJobsRequest(**IDS), "ids.ids", "10000 entries, has more"),
    (
        K + "IsActive",
        keda.ScaledObjectRef(scalerMetadata={str(i): "" for i in range(101)}),
        "scalerMetadata",
        "100 entries, has 101",
    ),
    (
        K + "GetMetrics",
        keda.GetMetricsRequest(scaledObjectRef={"scalerMetadata": {str(i): "" for i in range(101)}}),
        "scaledObjectRef.scalerMetadata",
        "100 entries, has 101",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "request_", "field", "text"),
    OVER,
    ids=[f"{one[0].rpartition('/')[2]}-{one[2]}" for one in OVER],
)
def test_a_list_over_its_bound_is_refused_by_name(
    method: str, request_: Message, field: str, text: str
) -> None:
    with pytest.raises(errors.InvalidField) as raised:
        reading.read(method, request_.SerializeToString())
    ((named, wrong),) = raised.value.violations
    assert named == field
    assert text in wrong


def test_every_bounded_list_is_in_the_tour() -> None:
    found = {(method, _plain(field)) for method, _, field, _ in OVER}
    shared = {
        K + name for name in ("StreamIsActive", "GetMetricSpec", "StreamMetricSpec")
    }  # of IsActive's type
    wanted = {
        (method, path)
        for method, allowed in bounds.BY_METHOD.items()
        if method not in shared
        for path in _paths(allowed.place)
    }
    assert found == wanted


def _plain(field: str) -> str:
    return "".join(part.partition("]")[2] or part for part in field.split("["))


def _paths(place: bounds.Place | None, path: str = "") -> set[str]:
    found: set[str] = set()
    for field in place.all if place is not None else ():
        if field.entries is not None:
            found.add(path + field.name)
        found |= _paths(field.below, f"{path}{field.name}.")
    return found


def test_a_request_just_within_its_bounds_is_read() -> None:
    """Also where every field is as long as it may be: the bytes leave room for it."""
    name, token = "q" * 128, bytes(16)
    one = pb.LeaseGroup(queue=name, lease_token=token, job_ids=[ID])
    window = pb.WindowReport(session_id="s" * 64, received=2**62, in_flight=2**20, seq=2**62, stream=2**30)
    progress = pb.JobProgress(job_id=ID, fraction=0.5, note="n" * 200)
    error = {"type": "t" * 128, "message": "m" * 4096, "stack": "s" * 4000}
    nacked = pb.NackedJob(queue=name, job_id=ID, lease_token=token, kind=pb.NACK_KIND_DEAD, error=error)
    queues = [pb.QueueWeight(queue=name, weight=100)] * 32
    headers = {f"h{i}": "v" * 200 for i in range(32)}
    for method, request in (
        (Q + "Ack", pb.AckRequest(leases=[one] * 500, window=window)),
        (Q + "Extend", pb.ExtendRequest(leases=[one] * 500, progress=[progress] * 500, window=window)),
        (Q + "Claim", pb.ClaimRequest(queues=queues, leases=[one] * 10_000, session_id="s" * 64)),
        (Q + "Nack", pb.NackRequest(jobs=[nacked] * 490, window=window)),
        (Q + "EnqueueBatch", pb.EnqueueBatchRequest(jobs=[{"payload": b"x" * 6000}] * 500, request_id="r" * 64)),
        (Q + "EnqueueBatch", pb.EnqueueBatchRequest(jobs=[{"headers": headers}] * 400)),
        (Q + "Enqueue", pb.EnqueueRequest(queue=name, job={"payload": bytes(3 << 20), "headers": headers})),
        (A + "CancelJobs", admin.CancelJobsRequest(ids={"ids": [f"urn:uuid:{ID}"] * 10_000})),
    ):  # fmt: skip
        assert reading.read(method, request.SerializeToString()) == request, method


@pytest.mark.parametrize("method", sorted(bounds.BY_METHOD))
def test_a_message_over_its_bytes_is_too_large(method: str) -> None:
    most = bounds.BY_METHOD[method].bytes_max
    with pytest.raises(errors.TooLarge, match=f"request: must be at most {most} bytes, has {most + 1}"):
        reading.read(method, bytes(most + 1))


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        (Q + "EnqueueBatch", b"\x12\x00" * 1_500_000),
        (Q + "Nack", b"\x0a\x00" * 2_000_000),
        (Q + "Claim", b"\x42\x00" * 1_000_000),
        (Q + "Claim", b"\x42\xff\xff\x7f" + b"\x1a\x00" * ((2**21 - 1) // 2)),
        (Q + "Enqueue", b"\x12\x00" * 2_000_000),  # the job in two million parts
        (Q + "Enqueue", b"\x08\x00" * 2_000_000),  # fields that nobody knows
        (Q + "Enqueue", b"\xa8\x80\x80\x80\x00\x00" * 600_000),
        (Q + "EnqueueBatch", (b"\x12\xf0\x2e" + b"\x2a\x00" * 3000) * 500),
        (A + "CancelJobs", b"\x12\x00" * 250_000),
        (A + "CancelJobs", b"\x12\x02\x0a\x00" * 100_000),
    ],
)
def test_an_endless_list_is_refused_without_being_decoded(method: str, raw: bytes) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(errors.RelayError) as raised:
            reading.read(method, raw)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(raised.value, errors.InvalidField | errors.TooLarge)
    assert most < 2 << 20
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "raw",
    [b"\x12", b"\x12\x05\x0a", b"\x0f", b"\x80" * 11, b"\x08" + b"\x80" * 12, b"\x09\x00", b"\x0d"],
)
def test_bytes_that_are_no_message_are_refused_as_such(raw: bytes) -> None:
    """A large message that goes wrong after a thousand fields is no more than a small one."""
    good = pb.EnqueueBatchRequest(queue="q", jobs=[{"payload": bytes(1000)}] * 400).SerializeToString()
    for sent in (raw, good + raw):
        with pytest.raises(errors.InvalidField) as raised:
            reading.read(Q + "EnqueueBatch", sent)
        assert raised.value.violations[0][0] == "request"


_NUMBERS = st.integers(1, 6)
_CHUNKS = st.recursive(
    st.tuples(_NUMBERS, st.binary(max_size=6)),
    lambda inner: st.tuples(_NUMBERS, st.lists(inner, max_size=5)),
    max_leaves=60,
)


def _encoded(chunk: Any) -> bytes:
    number, value = chunk
    body = value if isinstance(value, bytes) else b"".join(map(_encoded, value))
    return bytes([number << 3 | 2, len(body) & 0x7F | 0x80, len(body) >> 7]) + body


SMALL = bounds.bounds(
    pb.AckRequest.DESCRIPTOR,
    10_000,
    {"leases": bounds.Entries(3), "leases.job_ids": bounds.Entries(4, in_all=True)},
)


@given(st.lists(_CHUNKS, max_size=8))
def test_counting_on_the_wire_agrees_with_counting_what_was_decoded(chunks: list[Any]) -> None:
    raw = b"".join(map(_encoded, chunks))
    assert SMALL.place is not None
    try:
        message = SMALL.decode(raw)
    except Exception:  # noqa: BLE001 - the decoder's to refuse
        return
    over = len(message.leases) > 3 or sum(len(one.job_ids) for one in message.leases) > 4
    with pytest.raises(errors.InvalidField) if over else nullcontext():
        wire.check(SMALL.place, raw, deep=True)
