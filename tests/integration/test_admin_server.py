"""What operators hear of the whole: workers, the audit, the server itself."""

import json

import pytest

from relay.v1 import admin_service_pb2 as pb
from relay_server.rpc.convert import duration, uuid_text
from tests.support.engine import Lab, a_job, new_queue
from tests.support.operator_desk import Desk


def session(lab: Lab, *, age_ms: int = 0, worker_id: str = "w1") -> bytes:
    return json.dumps(
        {
            "worker_id": worker_id,
            "queues": [["mail", 2], ["video", 1]],
            "max_in_flight": 64,
            "in_flight": 7,
            "client_version": "py/1",
            "connect_ms": lab.clock.now_ms - 60_000,
            "seen_ms": lab.clock.now_ms - age_ms,
            "server_id": "server-2",
            "connected": True,
        }
    ).encode()


async def test_workers_seen_in_the_last_minute(desk: Desk, lab: Lab) -> None:
    await lab.engine.directory.write_sessions(
        {
            "s2": session(lab, worker_id="w2"),
            "s1": session(lab, age_ms=60_000),
            "old": session(lab, age_ms=60_001),
            "foreign": b'{"worker_id": 1}',
        }
    )
    workers = (await desk.admin.ListWorkers(pb.ListWorkersRequest())).workers
    assert [(worker.session_id, worker.worker_id) for worker in workers] == [("s1", "w1"), ("s2", "w2")]
    worker = workers[1]
    assert [(queue.queue, queue.weight) for queue in worker.queues] == [("mail", 2), ("video", 1)]
    assert (worker.max_in_flight, worker.in_flight, worker.connected) == (64, 7, True)
    assert worker.seen_time.ToMilliseconds() == lab.clock.now_ms
    assert (worker.client_version, worker.server_id) == ("py/1", "server-2")


async def test_an_audit_of_sound_queues(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(450)))
    other = new_queue()
    await lab.engine.enqueue(other, [a_job()])
    checked: dict[str, int] = {}
    done: list[str] = []
    async for step in desk.admin.Audit(pb.AuditRequest()):
        assert list(step.findings) == []
        checked[step.queue] = step.checked
        done += [step.queue] if step.done else []
    assert done == sorted([lab.queue, other])
    assert checked[lab.queue] >= 450


@pytest.mark.damages
async def test_an_audit_finds_damage_once(desk: Desk, lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(450)))
    await lab.command("ZREM", lab.key("ready"), ids[0])
    found = [
        finding
        async for step in desk.admin.Audit(pb.AuditRequest(queue=lab.queue))
        for finding in step.findings
    ]
    assert {(finding.invariant, finding.job_id) for finding in found} == {
        ("I1", ""),
        ("I1", uuid_text(ids[0])),
    }
    assert len([finding for finding in found if not finding.job_id]) == 1


async def test_what_the_server_says_of_itself(desk: Desk) -> None:
    desk.metrics.observe_script("claim", 0.0004, 10)
    desk.metrics.observe_script("claim", 0.0002, 30)
    info = await desk.admin.GetServerInfo(pb.GetServerInfoRequest())
    assert (info.version, info.protocol_version, info.server_id, info.streams) == ("9.9.9", 1, "server-1", 3)
    assert (info.limits.payload_bytes_max, info.limits.streams_max) == (1 << 20, 77)
    assert (info.limits.lease_min, info.limits.lease_max) == (duration(1000), duration(3_600_000))
    assert (info.store.server, info.store.embedded, info.store.durability) == (
        "valkey",
        True,
        pb.DURABILITY_OS,
    )
    assert (info.store.topology, info.store.primaries) == (pb.STORE_TOPOLOGY_SINGLE, 1)
    assert list(info.store.warnings) == ["slow disk"]
    (claim,) = info.scripts
    assert (claim.name, claim.calls, claim.jobs) == ("claim", 2, 40)
    assert (claim.mean.ToMicroseconds(), claim.max.ToMicroseconds()) == (300, 400)
