"""Jobs of each language are the same in the store, and arrive in each language as they were sent."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from relay.v1 import admin_service_pb2 as admin
from relay.v1 import dead_letter_service_pb2 as dead_letters
from relay.v1 import job_pb2
from relay_conformance.driver import payload64
from tests.cross_language.program import WITHIN_S, Job, Program, job
from tests.support.relay import Relay, eventually

# Building the drivers on a machine that never did counts, too.
pytestmark = pytest.mark.timeout(400)

TEXT = "naïve 日本語 \U0001f680 \u202eרtl a\u0301 \u0001\t\"'\\"
BINARY = bytes(range(256)) * 17
# Spaces, order and escapes are the producer's: whoever decodes and encodes again on the way changes them.
JSON = (
    '{"z": 1.0,  "a": "' + "日本 \\u00e9 \U0001f680" + '", "n": 12345678901234567890, "z2": [ ]}\n'
).encode()
HEADERS = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "größe": TEXT, "empty": ""}
FAILURE = f"it broke: {TEXT}\nin two lines"

JOBS: dict[str, Job] = {
    "binary": job("binary", BINARY, content_type="application/octet-stream"),
    "json": job("json", JSON, content_type="application/json", headers=HEADERS, priority=-3),
    "text": job("größe-Ω", TEXT.encode(), content_type="text/plain; charset=utf-8"),
    "nothing": job("nothing", b"", content_type="application/octet-stream", max_runtime_ms=60_000),
    "decoded": job("decoded", b'{"n": 7}', content_type="application/json"),
    "failing": job("failing", JSON, content_type="application/json", headers=HEADERS)
    | {"retry": {"max_attempts": 1, "initial_backoff_ms": 10, "max_backoff_ms": 10, "multiplier": 1}},
}
HANDLERS: dict[str, dict[str, Any]] = {
    **{spec["type"]: {"do": "ok"} for spec in JOBS.values()},
    "decoded": {"do": "ok", "decode": "json"},
    "failing": {"do": "fail", "message": FAILURE},
}
PAYLOADS = {"binary": BINARY, "json": JSON, "größe-Ω": TEXT.encode(), "nothing": b"", "failing": JSON}


async def test_a_job_is_stored_the_same_from_every_language(
    languages: dict[str, list[str]], server: Relay
) -> None:
    """All that a producer can say, down to the byte; who said it cannot be told."""
    later: dict[str, Any] = {"delay_ms": 3_600_000, "priority": 4, "max_runtime_ms": 1500, "headers": HEADERS}
    later["retry"] = {
        "max_attempts": 7,
        "initial_backoff_ms": 250,
        "max_backoff_ms": 90_000,
        "multiplier": 1.5,
    }
    specs = [spec | later for spec in JOBS.values()]
    stored: dict[tuple[str, str], list[bytes]] = {}
    async with Program.started(languages, server.address) as programs:
        for language, program in programs.items():
            for mode in ("each", "together", "many"):
                results = await program.produce("later", specs, mode=mode)
                stored[language, mode] = [await _stored(server, result) for result in results]
    expected = stored["python", "each"]
    assert len(set(expected)) == len(JOBS)
    different = [made for made, jobs in stored.items() if jobs != expected]
    assert not different, {made: stored[made] for made in (("python", "each"), *different)}


async def _stored(server: Relay, result: Mapping[str, Any]) -> bytes:
    """A job without what differs from call to call."""
    assert "error" not in result, result
    reply = await server.admin.GetJob(admin.GetJobRequest(queue="later", job_id=result["job_id"]))
    reply.job.ClearField("id")
    reply.job.ClearField("enqueue_time")
    return bytes(reply.job.SerializeToString(deterministic=True))


async def test_nine_pairs_of_producer_and_worker(languages: dict[str, list[str]], server: Relay) -> None:
    """Every job of JOBS from every language through every language."""
    sent: dict[str, tuple[str, str, str]] = {}
    async with Program.started(languages, server.address) as programs:
        for worker, program in programs.items():
            await program.work(f"to-{worker}", HANDLERS, worker_id=f"worker-{worker}")
        for producer, program in programs.items():
            for worker in programs:
                results = await program.produce(f"to-{worker}", list(JOBS.values()))
                for name, result in zip(JOBS, results, strict=True):
                    assert result.get("deduplicated") is False, (producer, worker, name, result)
                    sent[result["job_id"]] = (producer, worker, name)
        assert len(sent) == len(programs) ** 2 * len(JOBS)
        await eventually(lambda: _settled(server, programs), within=WITHIN_S, what="settled queues")
        for worker in programs:
            await _check_dead_letters(server, worker, programs)
    # Only now have the drivers said all they had to say.
    for worker, program in programs.items():
        ran = {event.get("job_id"): event for event in program.started_jobs()}
        assert len(ran) == len(program.started_jobs()), f"{worker} ran a job twice"
        assert ran.keys() == {id_ for id_, (_, to, _) in sent.items() if to == worker}
        for id_, event in ran.items():
            producer, _, name = sent[id_]
            assert _told(event.fields) == _expected(name), (producer, worker, name)


async def _settled(server: Relay, programs: Mapping[str, Program]) -> bool:
    """Whether every queue has its failing jobs dead and nothing else."""
    reply = await server.admin.Stats(admin.StatsRequest())
    queues = [stats for stats in reply.queues if stats.queue.startswith("to-")]
    acked = len(programs) * (len(JOBS) - 1)
    return len(queues) == len(programs) and all(
        stats.counters.acked == acked and stats.dead == len(programs) for stats in queues
    )


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "attempt", "headers", "payload_bytes", "payload_sha256")
    return {name: fields[name] for name in names if name in fields}


def _expected(name: str) -> dict[str, Any]:
    spec = JOBS[name]
    fields = {"type": spec["type"], "attempt": 1, "headers": spec.get("headers", {})}
    if name == "decoded":
        return fields
    payload = PAYLOADS[spec["type"]]
    return fields | {"payload_bytes": len(payload), "payload_sha256": hashlib.sha256(payload).hexdigest()}


async def _check_dead_letters(server: Relay, worker: str, programs: Mapping[str, Program]) -> None:
    """The failing job of each language is dead with the words of its handler, and whole."""
    queue = f"to-{worker}"
    listed = await server.dead_letters.ListDeadLetters(dead_letters.ListDeadLettersRequest(queue=queue))
    assert len(listed.jobs) == len(programs), worker
    for summary in listed.jobs:
        found = await server.admin.GetJob(admin.GetJobRequest(queue=queue, job_id=summary.id))
        (failure,) = found.failures
        assert failure.error.message == FAILURE, worker
        assert failure.error.type, worker
        assert failure.worker_id == f"worker-{worker}"
        assert summary.dead_reason == job_pb2.DEAD_REASON_ATTEMPTS
        assert found.job.payload == JSON
        assert dict(found.job.headers) == HEADERS


async def test_an_idempotency_key_holds_between_languages(
    languages: dict[str, list[str]], server: Relay
) -> None:
    """Whoever comes first makes the job; the others, and the first one again, are told its id.

    They are one job only as long as the SDKs say the same of a payload of bytes when nobody names its media type.
    """
    key = "order 42 · größe \U0001f680"
    order = job("order", BINARY, idempotency_key=key)
    async with Program.started(languages, server.address) as programs:
        for first in programs:
            queue, made = f"keys-{first}", ""
            for language in (first, *programs):
                (result,) = await programs[language].produce(queue, [order])
                assert "error" not in result, (first, language, result)
                assert result["deduplicated"] is bool(made), (first, language)
                made = made or result["job_id"]
                assert result["job_id"] == made, (first, language)
            (other,) = await programs[first].produce(queue, [order | {"payload": payload64(BINARY[1:])}])
            assert other["error"]["reason"] == "IDEMPOTENCY_MISMATCH"
            stats = await server.admin.Stats(admin.StatsRequest(queue=queue))
            counters = stats.queues[0].counters
            assert (counters.enqueued, counters.deduplicated) == (1, len(programs))


async def test_workers_of_three_languages_share_a_queue(
    languages: dict[str, list[str]], server: Relay
) -> None:
    """No job is lost, none runs twice, and each language has its part."""
    jobs = 600
    made: set[str] = set()
    async with Program.started(languages, server.address) as programs:
        for language, program in programs.items():
            await program.work("shared", {"work": {"do": "sleep", "ms": 10}}, worker_id=f"worker-{language}")

        async def produce(program: Program) -> None:
            body = json.dumps({"from": program.language}).encode()
            results = await program.produce("shared", [job("work", body)] * (jobs // 3), mode="many")
            made.update(result["job_id"] for result in results)

        await eventually(lambda: _connected(server, len(programs)), within=WITHIN_S, what="connected workers")
        await asyncio.gather(*(produce(program) for program in programs.values()))
        assert len(made) == jobs

        async def acked() -> bool:
            reply = await server.admin.Stats(admin.StatsRequest(queue="shared"))
            return bool(reply.queues[0].counters.acked >= jobs)

        await eventually(acked, within=WITHIN_S, what=f"{jobs} acked jobs")
    starts = {name: [one.get("job_id") for one in p.started_jobs()] for name, p in programs.items()}
    ran = [id_ for ids in starts.values() for id_ in ids]
    assert set(ran) == made
    assert len(ran) == jobs, f"{len(ran) - jobs} jobs ran twice"
    assert all(starts.values()), {language: len(ids) for language, ids in starts.items()}


async def _connected(server: Relay, workers: int) -> bool:
    reply = await server.admin.ListWorkers(admin.ListWorkersRequest())
    return sum(worker.connected for worker in reply.workers) == workers
