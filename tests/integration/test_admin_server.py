"""Workers, the audit and the server itself, as operators see them."""

from typing import Any

import pytest

from relay.v1 import admin_service_pb2 as pb
from relay_server import limits
from relay_server.engine.roster import WorkerEntry, chunks
from relay_server.rpc import page_tokens
from relay_server.rpc.convert import duration
from relay_server.rpc.ids import uuid_text
from tests.support.engine import Lab, a_job, new_queue
from tests.support.operator_desk import Desk
from tests.support.relay import refusal


def session(worker_id: str, session_id: str = "s", **fields: Any) -> WorkerEntry:
    values: dict[str, Any] = {
        "queues": (("mail", 2), ("video", 1)),
        "max_in_flight": 64,
        "in_flight": 7,
        "client_version": "py/1",
        "connect_ms": 1000,
        "server_id": "server-2",
        "connected": True,
    }
    return WorkerEntry(session_id=session_id, worker_id=worker_id, **(values | fields))


async def note(lab: Lab, *entries: WorkerEntry) -> None:
    for some in chunks((entry.session_id, entry) for entry in entries):
        await lab.engine.roster.note("server-2", some)


async def test_workers_seen_in_the_last_minute(desk: Desk, lab: Lab) -> None:
    await note(lab, session("w0", "old"))
    lab.clock.advance(1)
    await note(lab, session("w1", "s1"))
    lab.clock.advance(60_000)
    await note(lab, session("w2", "s2"))
    reply = await desk.admin.ListWorkers(pb.ListWorkersRequest())
    workers = reply.workers
    assert [(worker.session_id, worker.worker_id) for worker in workers] == [("s1", "w1"), ("s2", "w2")]
    assert reply.next_page_token == ""
    worker = workers[1]
    assert [(queue.queue, queue.weight) for queue in worker.queues] == [("mail", 2), ("video", 1)]
    assert (worker.max_in_flight, worker.in_flight, worker.connected) == (64, 7, True)
    assert worker.seen_time.ToMilliseconds() == lab.clock.now_ms
    assert (worker.client_version, worker.server_id) == ("py/1", "server-2")


async def test_workers_come_in_pages_and_none_twice_while_they_come_and_go(desk: Desk, lab: Lab) -> None:
    await note(lab, *(session(f"w{i // 3:04}", f"s{i:04}") for i in range(1200)))
    names, token, pages = list[str](), "", 0
    while True:
        reply = await desk.admin.ListWorkers(pb.ListWorkersRequest(page_size=1000, page_token=token))
        names += [worker.session_id for worker in reply.workers]
        token, pages = reply.next_page_token, pages + 1
        if not token:
            break
        # Behind and ahead of where the listing is.
        await lab.engine.roster.note("server-2", {"s0000": None, names[-1]: None, "s1190": None})
        await note(lab, session("w0000", "s9999"))
    assert pages == 3, "at most 500 a page"
    assert names == [f"s{i:04}" for i in range(1200) if i != 1190]


async def test_a_page_of_the_longest_names_fits_a_message(desk: Desk, lab: Lab) -> None:
    queues = tuple((f"{i:02}".ljust(128, "x"), 100) for i in range(32))
    await note(lab, *(session("w" * 128, f"{i}".zfill(64), queues=queues) for i in range(500)))
    reply = await desk.admin.ListWorkers(pb.ListWorkersRequest(page_size=500))
    assert len(reply.workers) == 500
    assert 2 << 20 < reply.ByteSize() < limits.MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    "token", ["x", page_tokens.make(["queues", ""], ["a"]), page_tokens.make(["workers"], ["no hex"])]
)
async def test_a_token_of_another_listing_is_refused(desk: Desk, token: str) -> None:
    refused = await refusal(desk.admin.ListWorkers(pb.ListWorkersRequest(page_token=token)))
    assert list(refused.fields) == ["page_token"]


async def test_an_audit_of_sound_queues(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(450)))
    other = new_queue()
    await lab.transitions.enqueue(other, [a_job()])
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


async def test_the_server_tells_its_version_store_and_scripts(desk: Desk) -> None:
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
