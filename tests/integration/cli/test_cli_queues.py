"""Commands about queues and the whole server: what they do, what they print, and the shape of their JSON."""

import time
from collections.abc import Callable

import grpc

from relay.v1 import queue_service_pb2, queue_service_pb2_grpc
from tests.support.cli import Relay

COUNTERS = {
    "enqueued", "deduplicated", "claimed", "acked", "retried", "released", "expired", "dead", "requeued", "purged",
    "cancelled", "stale", "promoted", "unreadable", "clock_steps", "handed_back", "spared",
}  # fmt: skip
STATS = {
    "queue",
    "ready",
    "delayed",
    "inflight",
    "dead",
    "unreadable",
    "oldest_ready_age_s",
    "paused",
    "counters",
}


def test_queues_pause_resume_and_limits(relay: Relay, queue: str) -> None:
    assert relay("enqueue", queue, "t").code == 0
    assert relay("pause", queue).out == f"{queue} is paused\n"
    assert relay("limit", queue, "--rate", "100", "--burst", "10", "--max-jobs", "5").code == 0
    (found,) = relay("queues", "--prefix", queue, "--output", "json").value["queues"]
    assert set(found) == {"name", "paused", "settings", "stats"}
    assert set(found["settings"]) == {"rate", "burst", "priority_step_s", "max_jobs", "max_expirations"}
    assert set(found["stats"]) == STATS
    assert set(found["stats"]["counters"]) == COUNTERS
    settings = found["settings"]
    assert (found["paused"], settings["rate"], settings["burst"], settings["max_jobs"]) == (
        True,
        100.0,
        10,
        5,
    )
    shown = relay("queues", "--prefix", queue).out.splitlines()[1]
    assert shown.startswith(f"{queue} ")
    assert shown.endswith("paused  100/s, burst 10")
    full = relay("enqueue", queue, "t", "--count", "10")
    assert (full.code, full.out) == (1, f"added 4 jobs to {queue}\n")
    assert "QUEUE_FULL" in full.err
    assert "no rate limit and at most 5 jobs" in relay("limit", queue, "--off").out
    assert "no rate limit" in relay("limit", queue).out
    assert relay("limit", queue, "--priority-step", "90s", "--max-expirations", "7").code == 0
    assert relay("limit", queue).out == (
        f"{queue} has no rate limit and at most 5 jobs; a point of priority is 1m30s of head start; "
        "a job is dead after 7 lost leases\n"
    )
    assert relay("resume", queue, "--output", "json").value["paused"] is False


def test_purge_queue_and_forget(relay: Relay, queue: str, bury: Callable[[int], None]) -> None:
    bury(1)
    relay("enqueue", queue, "t", "--count", "700")
    relay("enqueue", queue, "t", "--delay", "1h")
    preview, *_, done = relay("purge-queue", queue, "--yes", "--output", "json").values
    assert (preview["matched"], done) == (701, {"event": "done", "purged": 701})
    kept = relay("purge-queue", queue, "--yes", "--forget")
    assert kept.code == 1, "a dead letter is left"
    relay("dead", "purge", queue, "--all", "--yes")
    assert relay("purge-queue", queue, "--yes", "--forget").out.endswith(f"{queue} is forgotten\n")
    assert relay("pause", queue).code == 4


def test_workers_are_listed(relay: Relay, server: str, queue: str) -> None:
    with grpc.insecure_channel(server) as channel:
        stream = queue_service_pb2_grpc.QueueServiceStub(channel).Claim(
            queue_service_pb2.ClaimRequest(
                queues=[queue_service_pb2.QueueWeight(queue=queue, weight=3)],
                worker_id="me:1",
                max_in_flight=7,
            )
        )
        assert next(stream).HasField("started")
        workers = _eventually(lambda: _workers_of(relay, queue))
        stream.cancel()
    assert set(workers[0]) == {
        "session_id", "worker_id", "queues", "max_in_flight", "in_flight", "client_version", "connect_time",
        "seen_time", "server_id", "connected",
    }  # fmt: skip
    assert (workers[0]["worker_id"], workers[0]["max_in_flight"]) == ("me:1", 7)
    assert f"{queue}=3" in relay("workers").out


def _workers_of(relay: Relay, queue: str) -> list[dict[str, object]]:
    found = relay("workers", "--output", "json").value["workers"]
    return [each for each in found if {"queue": queue, "weight": 3} in each["queues"]]


def _eventually(look: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
    deadline = time.monotonic() + 10
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_top_doctor_and_bench(relay: Relay, queue: str) -> None:
    relay("enqueue", queue, "t", "--count", "25")
    view = relay("top", "--once", "--queue", queue, "--output", "json").value
    assert set(view) == {"queues", "time"}
    assert set(view["queues"][0]) == STATS | {"rates"}
    assert set(view["queues"][0]["rates"]) == {"enqueued", "acked", "failed"}
    assert queue in relay("top", "--once").out

    clean = relay("doctor", "--queue", queue)
    assert (clean.code, clean.out.splitlines()[-1]) == (0, "nothing is wrong")
    assert "25 jobs in 1 queue" in clean.out
    report = relay("doctor", "--output", "json").values[-1]
    assert report["clean"] is True
    assert report["server"]["store"]["durability"] == "always"
    assert {"queue": queue, "checked": 25} in report["queues"]

    assert report["server"]["store"]["format"] == 1

    measured = relay(
        "bench", "--jobs", "1500", "--streams", "3", "--window", "100", "--output", "json"
    ).values[-1]
    assert (measured["exact"], measured["distinct"], measured["repeated"]) == (True, 1500, 0)
    assert [phase["name"] for phase in measured["phases"]] == ["enqueue", "drain"]
    assert all(phase["jobs"] == 1500 and phase["per_second"] > 0 for phase in measured["phases"])
    assert "1 500 distinct completions of 1 500 jobs" in relay("bench", "--jobs", "1500").out
    left = relay("queues", "--prefix", "relay-bench-", "--output", "json").value
    assert left == {"queues": []}, "a measurement leaves no queue behind"
