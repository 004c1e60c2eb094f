"""A tour of malformed requests: each is refused with its code and its field, and changes nothing; then a random one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.v1 import admin_service_pb2, dead_letter_service_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.support.engine import all_keys
from tests.support.relay import Held, Relay, lease_groups, new_id, refusal, seconds, spec
from tests.support.stores import Store

QUEUE = "tour"
TOKEN = bytes(16)


def enqueue(queue: str = QUEUE, **fields: Any) -> pb.EnqueueRequest:
    return pb.EnqueueRequest(queue=queue, job=spec(**fields))


def claim(**fields: Any) -> pb.ClaimRequest:
    given: dict[str, Any] = {
        "queues": [pb.QueueWeight(queue=QUEUE)], "worker_id": "w", "max_in_flight": 1
    } | fields  # fmt: skip
    return pb.ClaimRequest(**given)


def nack(**fields: Any) -> pb.NackRequest:
    given: dict[str, Any] = {
        "queue": QUEUE, "job_id": new_id(), "lease_token": TOKEN, "kind": pb.NACK_KIND_RETRY
    } | fields  # fmt: skip
    return pb.NackRequest(jobs=[pb.NackedJob(**given)])


def group(**fields: Any) -> pb.LeaseGroup:
    given: dict[str, Any] = {"queue": QUEUE, "lease_token": TOKEN, "job_ids": [new_id()]} | fields
    return pb.LeaseGroup(**given)


def far(days: int) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    return time


YEAR = 366 * 86400
# name -> (call, request, the field that is named)
TOUR: dict[str, tuple[str, Message, str]] = {
    "no queue": ("Enqueue", enqueue(""), "queue"),
    "a queue with a slash": ("Enqueue", enqueue("a/b"), "queue"),
    "a queue with a brace": ("Enqueue", enqueue("a{b}"), "queue"),
    "a queue with a line feed": ("Enqueue", enqueue("a\n"), "queue"),
    "a queue of two dots": ("Enqueue", enqueue(".."), "queue"),
    "a queue of 129 bytes": ("Enqueue", enqueue("q" * 129), "queue"),
    "no type": ("Enqueue", enqueue(type=""), "job.type"),
    "a type of 129 bytes": ("Enqueue", enqueue(type="ü" * 65), "job.type"),
    "an id that is no UUID": ("Enqueue", enqueue(id="7"), "job.id"),
    "a priority of 10": ("Enqueue", enqueue(priority=10), "job.priority"),
    "a negative delay": ("Enqueue", enqueue(delay=seconds(-1)), "job.delay"),
    "a delay beyond a year": ("Enqueue", enqueue(delay=seconds(YEAR)), "job.delay"),
    "a duration of mixed signs": ("Enqueue", enqueue(delay=Duration(seconds=1, nanos=-1)), "job.delay"),
    "run_at before 1970": ("Enqueue", enqueue(run_at=Timestamp(seconds=-1)), "job.run_at"),
    "run_at in two years": ("Enqueue", enqueue(run_at=far(730)), "job.run_at"),
    "expires_at in two years": ("Enqueue", enqueue(expires_at=far(730)), "job.expires_at"),
    "1001 attempts": ("Enqueue", enqueue(retry={"max_attempts": 1001}), "job.retry.max_attempts"),
    "-1 attempts": ("Enqueue", enqueue(retry={"max_attempts": -1}), "job.retry.max_attempts"),
    "a multiplier that is no number": ("Enqueue", enqueue(retry={"multiplier": float("nan")}), "job.retry.multiplier"),
    "a negative backoff": ("Enqueue", enqueue(retry={"initial_backoff": seconds(-1)}), "job.retry.initial_backoff"),
    "a backoff of 8 days": ("Enqueue", enqueue(retry={"max_backoff": seconds(8 * 86400)}), "job.retry.max_backoff"),
    "a negative max_runtime": ("Enqueue", enqueue(max_runtime=seconds(-0.001)), "job.max_runtime"),
    "33 headers": ("Enqueue", enqueue(headers={str(i): "" for i in range(33)}), "job.headers"),
    "headers of 9 KiB": ("Enqueue", enqueue(headers={"h": "x" * 9216}), "job.headers"),
    "a content type of 129 bytes": ("Enqueue", enqueue(content_type="x" * 129), "job.content_type"),
    "a key of 257 bytes": ("Enqueue", enqueue(idempotency_key="k" * 257), "job.idempotency_key"),
    "a key held no time": (
        "Enqueue", enqueue(idempotency_key="k", idempotency_window=seconds(0)), "job.idempotency_window"
    ),
    "an empty batch": ("EnqueueBatch", pb.EnqueueBatchRequest(queue=QUEUE), "jobs"),
    "a batch of 501": ("EnqueueBatch", pb.EnqueueBatchRequest(queue=QUEUE, jobs=[spec()] * 501), "jobs"),
    "one bad job among good ones": (
        "EnqueueBatch", pb.EnqueueBatchRequest(queue=QUEUE, jobs=[spec(), spec(type=""), spec()]), "jobs[1].type"
    ),
    "a request_id of 65 bytes": (
        "EnqueueBatch", pb.EnqueueBatchRequest(queue=QUEUE, jobs=[spec()], request_id="r" * 65), "request_id"
    ),
    "a claim from no queue": ("Claim", claim(queues=[]), "queues"),
    "a claim from 33 queues": ("Claim", claim(queues=[pb.QueueWeight(queue=f"q{i}") for i in range(33)]), "queues"),
    "a queue claimed twice": ("Claim", claim(queues=[pb.QueueWeight(queue=QUEUE)] * 2), "queues[1].queue"),
    "a weight of 101": ("Claim", claim(queues=[pb.QueueWeight(queue=QUEUE, weight=101)]), "queues[0].weight"),
    "no worker id": ("Claim", claim(worker_id=""), "worker_id"),
    "a window of nothing": ("Claim", claim(max_in_flight=0), "max_in_flight"),
    "a window of 10 001": ("Claim", claim(max_in_flight=10_001), "max_in_flight"),
    "a lease of 999 ms": ("Claim", claim(lease=seconds(0.999)), "lease"),
    "a lease over an hour": ("Claim", claim(lease=seconds(3601)), "lease"),
    "a negative grace": ("Claim", claim(disconnect_grace=seconds(-1)), "disconnect_grace"),
    "a negative in_flight": ("Claim", claim(in_flight=-1), "in_flight"),
    "an ack of nothing": ("Ack", pb.AckRequest(), "leases"),
    "an ack of 501": ("Ack", pb.AckRequest(leases=[group(job_ids=[new_id()] * 501)]), "leases[0].job_ids"),
    "an ack with no ids": ("Ack", pb.AckRequest(leases=[group(job_ids=[])]), "leases[0].job_ids"),
    "a token of 15 bytes": ("Ack", pb.AckRequest(leases=[group(lease_token=bytes(15))]), "leases[0].lease_token"),
    "a nack of nothing": ("Nack", pb.NackRequest(), "jobs"),
    "a nack of no kind": ("Nack", nack(kind=0), "jobs[0].kind"),
    "a nack of kind 99": ("Nack", nack(kind=99), "jobs[0].kind"),
    "a nack with a negative wait": ("Nack", nack(after=seconds(-1)), "jobs[0].after"),
    "a nack with 9 KiB of stack": ("Nack", nack(error={"stack": "s" * 9216}), "jobs[0].error"),
    "a nack with a long error type": ("Nack", nack(error={"type": "t" * 129}), "jobs[0].error.type"),
    "an extend to two hours": ("Extend", pb.ExtendRequest(leases=[group()], lease=seconds(7200)), "lease"),
    "progress of 2": (
        "Extend", pb.ExtendRequest(progress=[pb.JobProgress(job_id=new_id(), fraction=2)]), "progress[0].fraction"
    ),
    "a window of -1": (
        "Extend", pb.ExtendRequest(window=pb.WindowReport(session_id="s", in_flight=-1)), "window.in_flight"
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", ["x" * 30, "\N{PILE OF POO}" * 60], ids=["narrow", "wide"])
async def test_of_very_many_mistakes_the_first_are_named(relay: Relay, wrong: str) -> None:
    jobs = [job_pb2.JobSpec(type="t", id=wrong)] * 500
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await relay.queue.EnqueueBatch(pb.EnqueueBatchRequest(queue=QUEUE, jobs=jobs))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    text = raised.value.details() or ""
    assert text.startswith("jobs[0].id: must be a UUID")
    assert text.endswith(" more")


@pytest.mark.parametrize("name", TOUR)
async def test_a_malformed_request_is_refused_by_name_and_changes_nothing(
    relay: Relay, relay_redis: Store, name: str
) -> None:
    method, request, violated = TOUR[name]
    refused = await refusal(getattr(relay.queue, method)(request))
    print(f"{method}, {name}: {refused.code.name} {refused.text}")
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert violated in refused.fields
    assert violated in refused.text
    async with relay_redis.raw_client() as client:
        assert await all_keys(client, f"relay:{{{QUEUE}}}*") == []


async def test_unknown_ids_and_stale_tokens_are_outcomes_and_change_nothing(relay: Relay) -> None:
    await relay.enqueue(QUEUE, spec())
    worker = await relay.claimer(QUEUE)
    (held,) = await worker.take(1)
    unknown = Held(QUEUE, held.token, pb.ClaimedJob(job=job_pb2.Job(id=new_id())))
    stale = held._replace(token=TOKEN)
    before = await relay.stats(QUEUE)
    assert await worker.ack(unknown, stale) == [pb.LEASE_OUTCOME_GONE, pb.LEASE_OUTCOME_LEASE_LOST]
    outcomes = [result.outcome for result in await worker.nack(unknown, stale)]
    assert outcomes == [pb.LEASE_OUTCOME_GONE, pb.LEASE_OUTCOME_LEASE_LOST]
    reply = await relay.queue.Extend(pb.ExtendRequest(leases=lease_groups([unknown, stale])))
    assert [r.outcome for r in reply.results] == outcomes
    after = await relay.stats(QUEUE)
    assert (after.ready, after.inflight, after.dead) == (before.ready, before.inflight, before.dead)
    assert await worker.ack(held) == [pb.LEASE_OUTCOME_OK]


# --- any message at all

_NUMBERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 20),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40) | st.just(TOKEN),
    FieldDescriptor.TYPE_STRING: st.text(st.characters(codec="utf-8"), max_size=140)
    | st.sampled_from([QUEUE, "..", "0198c0de-0000-7000-8000-000000000007", "a.b"]),
}
DOCUMENTED = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"
}  # fmt: skip


# What fields of these names usually hold, so that many requests get past the checks and into the engine.
_LIKELY: dict[str, Any] = {
    "id": None, "job_id": None, "job_ids": None, "ids": None, "lease_token": TOKEN, "worker_id": "w",
    "type": "t", "kind": 1, "max_in_flight": 3, "priority": 2, "max_attempts": 3, "multiplier": 2.0, "weight": 2,
    "seconds": 5, "nanos": 0, "fraction": 0.5, "state": 1, "received": 1, "in_flight": 1, "session_id": "",
    "page_token": "", "rate": 1000.0, "burst": 10, "max_jobs": 1000, "max_expirations": 3,
}  # fmt: skip
_REQUIRED = ("queue", "queues", "job", "jobs", "leases", "type", "worker_id", "max_in_flight", "job_ids", "lease_token",
             "kind", "job_id", "state", "settings")  # fmt: skip


def _values(one: FieldDescriptor) -> st.SearchStrategy[Any]:
    if one.message_type is not None:
        return messages(GetMessageClass(one.message_type))
    anything = _NUMBERS[one.type]
    if one.name == "queue":
        return st.sampled_from([QUEUE] * 12 + [f"{QUEUE}-{i}" for i in range(3)] * 5 + ["..", "a b"])
    if one.name not in _LIKELY:
        return anything
    likely = _LIKELY[one.name]
    return st.integers(0, 19).flatmap(
        lambda n: anything if n == 0 else st.builds(new_id) if likely is None else st.just(likely)
    )


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Any message of a type, built from its descriptor; most fields are as they should be."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for one in kind.DESCRIPTOR.fields:
        if one.message_type is not None and one.message_type.GetOptions().map_entry:
            fields[one.name] = st.dictionaries(
                st.text("ab", max_size=3), st.text("ab", max_size=3), max_size=3
            )
        else:
            value = _values(one)
            fields[one.name] = st.lists(value, min_size=1, max_size=3) if one.is_repeated else value
    required = {name: fields.pop(name) for name in _REQUIRED if name in fields}
    return st.fixed_dictionaries(required, optional=fields).map(lambda values: kind(**values))


CALLS = {
    "Enqueue": ("queue", pb.EnqueueRequest), "EnqueueBatch": ("queue", pb.EnqueueBatchRequest),
    "Claim": ("queue", pb.ClaimRequest), "Ack": ("queue", pb.AckRequest), "Nack": ("queue", pb.NackRequest),
    "Extend": ("queue", pb.ExtendRequest),
    "ListDeadLetters": ("dead_letters", dead_letter_service_pb2.ListDeadLettersRequest),
    "RequeueDeadLetters": ("dead_letters", dead_letter_service_pb2.RequeueDeadLettersRequest),
    "UpdateQueue": ("admin", admin_service_pb2.UpdateQueueRequest),
    "ListJobs": ("admin", admin_service_pb2.ListJobsRequest),
    "GetHistory": ("admin", admin_service_pb2.GetHistoryRequest),
    "CancelJobs": ("admin", admin_service_pb2.CancelJobsRequest),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
async def test_any_message_gets_a_documented_code(relay: Relay, name: str) -> None:
    """Hypothesis draws the requests first: it would run each example in a loop of its own."""
    service, kind = CALLS[name]
    drawn: list[Message] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(messages(kind))
    def draw(message: Message) -> None:
        drawn.append(message)

    draw()
    await relay.enqueue(QUEUE)
    codes: dict[str, int] = {}
    for request in drawn:
        call = getattr(getattr(relay, service), name)(request)
        code = "OK"
        try:
            if isinstance(call, grpc.aio.UnaryStreamCall):
                await call.read()
                call.cancel()
            else:
                await call
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        assert code in DOCUMENTED, f"{code} for {request}"
        codes[code] = codes.get(code, 0) + 1
    print(name, codes)
    assert set(codes) - {"INVALID_ARGUMENT"}, "nothing got past the checks"
    assert await relay.health() == "SERVING"
