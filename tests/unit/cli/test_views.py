"""top, doctor and the demo's accounting: numbers that are computed on this side."""

import threading
from collections import Counter

import pytest
from rich.console import Console

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import queue_service_pb2 as queue_pb
from relay_cli.demo.load import Tally, plan, specs, tally
from relay_cli.top import Rates, rates, screen
from tests.support.cli import Relay
from tests.unit.cli.scripts import Script


def _snapshot(seconds: int, **counters: int) -> admin_pb.WatchStatsResponse:
    made = admin_pb.WatchStatsResponse()
    made.time.seconds = seconds
    made.queues.add(queue="q", ready=5).counters.MergeFrom(admin_pb.QueueCounters(**counters))
    return made


def test_rates_are_differences_over_the_time_between() -> None:
    before, now = (
        _snapshot(100, enqueued=10, acked=4, retried=1),
        _snapshot(102, enqueued=30, acked=9, dead=1, retried=4),
    )
    assert rates(before, now) == {"q": Rates(enqueued=10, acked=2.5, failed=2)}
    assert rates(None, now) == {}
    assert rates(now, now) == {}


def test_a_queue_made_anew_has_no_negative_rates() -> None:
    assert rates(_snapshot(100, enqueued=50), _snapshot(101, enqueued=2)) == {
        "q": Rates(enqueued=0, acked=0, failed=0)
    }


def test_top_once_waits_for_rates(relay: Relay, script: Script, server: str) -> None:
    script.answers["WatchStats"] = lambda _: [_snapshot(100, enqueued=10), _snapshot(101, enqueued=40)]
    (view,) = relay("top", "--once", "--output", "json", "--server", server).values
    assert view["queues"][0]["rates"] == {"enqueued": 30, "acked": 0, "failed": 0}
    shown = relay("top", "--once", "--server", server)
    assert "IN/s" in shown.out
    assert " 30 " in shown.out


def _shown(queues: list[str], width: int, height: int) -> list[str]:
    now = admin_pb.WatchStatsResponse(queues=[admin_pb.QueueStats(queue=q, ready=7) for q in queues])
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(screen((now, {}), "127.0.0.1:50051", width, height))
    lines = captured.get().splitlines()
    assert len(lines) <= height
    return [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((18, 5), ["QUEUE READY", "one 7", "two 7", "three 7"]),
        ((18, 4), ["QUEUE READY", "one 7", "and 2 queues more"]),
        ((30, 4), ["QUEUE READY DELAYED", "one 7 0", "and 2 queues more"]),
        ((18, 3), ["QUEUE READY", "one 7"]),
    ],
)
def test_top_shows_what_a_small_terminal_has_room_for(size: tuple[int, int], wanted: list[str]) -> None:
    heading, *lines = _shown(["one", "two", "three"], *size)
    assert heading.startswith("relay top")
    assert lines == wanted


@pytest.mark.parametrize("size", [(11, 5), (18, 2)])
def test_top_says_that_a_terminal_is_too_small(size: tuple[int, int]) -> None:
    assert " ".join(_shown(["one"], *size)).startswith("too small: needs 12 ×")


def _info(**store: object) -> admin_pb.GetServerInfoResponse:
    info = admin_pb.GetServerInfoResponse(version="0.1.0", protocol_version=1)
    info.store.MergeFrom(
        admin_pb.StoreInfo(server="valkey", version="9.0", durability=admin_pb.DURABILITY_ALWAYS)
    )
    info.store.MergeFrom(admin_pb.StoreInfo(**store))  # type: ignore[arg-type]  # a test's shorthand
    return info


@pytest.fixture
def _healthy(script: Script) -> None:
    stats = admin_pb.StatsResponse(queues=[admin_pb.QueueStats(queue="q", ready=2, dead=1)])
    script.answers["GetServerInfo"] = lambda _: _info()
    script.answers["Stats"] = lambda _: stats
    script.answers["Audit"] = lambda _: [
        admin_pb.AuditResponse(queue="q", checked=1),
        admin_pb.AuditResponse(queue="q", checked=3, done=True),
    ]


@pytest.mark.usefixtures("_healthy")
@pytest.mark.parametrize(
    ("topology", "primaries", "said"),
    [
        (admin_pb.STORE_TOPOLOGY_UNSPECIFIED, 0, "valkey 9.0, durability"),
        (admin_pb.STORE_TOPOLOGY_SINGLE, 1, "valkey 9.0, durability"),
        (admin_pb.STORE_TOPOLOGY_SENTINEL, 1, "valkey 9.0 behind Sentinels, durability"),
        (admin_pb.STORE_TOPOLOGY_CLUSTER, 3, "valkey 9.0 in a cluster of 3 primary nodes, durability"),
    ],
)
def test_doctor_says_what_the_store_is_made_of(
    relay: Relay, server: str, script: Script, topology: int, primaries: int, said: str
) -> None:
    script.answers["GetServerInfo"] = lambda _: _info(topology=topology, primaries=primaries)
    assert said in relay("doctor", "--server", server).out


@pytest.mark.usefixtures("_healthy")
def test_doctor_finds_nothing(relay: Relay, server: str) -> None:
    ended = relay("doctor", "--server", server)
    assert ended.code == 0
    assert "durability always" in ended.out
    assert "3 jobs in 1 queue\n" in ended.out
    assert ended.out.endswith("nothing is wrong\n")
    document = relay("doctor", "--output", "json", "--server", server).values[-1]
    assert set(document) == {"event", "clean", "server", "warnings", "notes", "queues", "findings"}
    assert document["clean"] is True
    assert document["queues"] == [{"queue": "q", "checked": 3}]


@pytest.mark.usefixtures("_healthy")
def test_doctor_shows_findings_of_the_audit(relay: Relay, script: Script, server: str) -> None:
    finding = admin_pb.AuditFinding(invariant="I2", job_id="some-job", detail="in two states")
    script.answers["Audit"] = lambda _: [
        admin_pb.AuditResponse(queue="q", checked=3, findings=[finding], done=True)
    ]
    ended = relay("doctor", "--server", server)
    assert ended.code == 1
    assert "in two states" in ended.out
    document = relay("doctor", "--output", "json", "--server", server).values[-1]
    assert document["findings"] == [
        {"queue": "q", "invariant": "I2", "job_id": "some-job", "detail": "in two states"}
    ]


@pytest.mark.usefixtures("_healthy")
def test_doctor_says_what_to_do_with_jobs_that_cannot_be_read(
    relay: Relay, script: Script, server: str
) -> None:
    finding = admin_pb.AuditFinding(invariant="UNREADABLE", job_id="some-job", detail="set aside from ready")
    script.answers["Audit"] = lambda _: [
        admin_pb.AuditResponse(queue="q", checked=3, findings=[finding], done=True)
    ]
    ended = relay("doctor", "--server", server)
    assert ended.code == 1
    assert "set aside from ready" in ended.out
    assert "relay jobs cancel QUEUE ID" in ended.out


@pytest.mark.usefixtures("_healthy")
@pytest.mark.parametrize(
    ("info", "code", "says"),
    [
        (_info(warnings=["save is off"]), 1, "save is off"),
        (_info(durability=admin_pb.DURABILITY_NONE), 1, "keeps no log"),
        (_info(durability=admin_pb.DURABILITY_EVERYSEC), 0, "power loss"),
        (_info(used_memory_bytes=95, max_memory_bytes=100), 1, "new jobs will be refused soon"),
    ],
)
def test_doctor_judges_the_setup(
    relay: Relay, script: Script, server: str, info: admin_pb.GetServerInfoResponse, code: int, says: str
) -> None:
    script.answers["GetServerInfo"] = lambda _: info
    ended = relay("doctor", "--server", server)
    assert ended.code == code
    assert says in ended.out


@pytest.mark.parametrize(
    ("jobs", "rate", "failing", "always"),
    [(200, 0.1, 20, 7), (500, 0.1, 50, 17), (10, 0, 0, 0), (10, 1, 10, 3), (1, 0.1, 0, 0)],
)
def test_the_plan_is_exact(jobs: int, rate: float, failing: int, always: int) -> None:
    found = plan(jobs, rate)
    kinds = Counter(spec.type for spec in specs(found, seed=3))
    assert (found.failing, found.always) == (failing, always)
    assert kinds["demo.fail"] == always
    assert kinds["demo.fail"] + kinds["demo.flaky"] == failing
    assert sum(kinds.values()) == jobs


def test_the_seed_decides() -> None:
    one, same, other = (specs(plan(200, 0.1), seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_the_tally_counts_since_the_start() -> None:
    base, now = admin_pb.QueueStats(dead=3), admin_pb.QueueStats(ready=1, dead=5)
    base.counters.MergeFrom(admin_pb.QueueCounters(enqueued=100, acked=97, retried=6))
    now.counters.MergeFrom(admin_pb.QueueCounters(enqueued=120, acked=110, retried=14))
    found = tally(now, base)
    assert (found.enqueued, found.acked, found.dead, found.left) == (20, 13, 2, 1)
    # Two dead letters were retried twice each, four other jobs once.
    assert found.failed_at_first == 6
    assert tally(None, None) == Tally()


def test_a_demo_that_only_loads_counts_after_its_last_job(relay: Relay, script: Script, server: str) -> None:
    """The load ends while the counters are read: the demo must look again, or it counts less than it enqueued."""
    looks = 0

    def stats(_: object) -> admin_pb.StatsResponse:
        nonlocal looks
        looks += 1
        if looks == 1:  # what was there before
            return admin_pb.StatsResponse()
        counted = 0 if looks == 2 else 2
        for thread in threading.enumerate():
            if thread.name == "relay-demo-load":
                thread.join()
        made = admin_pb.StatsResponse()
        made.queues.add(queue="q", ready=counted).counters.enqueued = counted
        return made

    script.answers["Stats"] = stats
    script.answers["EnqueueBatch"] = lambda request: queue_pb.EnqueueBatchResponse(
        results=[queue_pb.EnqueueResult(job_id=job.id) for job in request.jobs]
    )
    ended = relay("demo", "--server", server, "--jobs", "2", "--queue", "q", "--output", "json")
    assert (ended.code, ended.values[-1]["enqueued"]) == (0, 2)
