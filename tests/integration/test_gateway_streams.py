"""Streams over HTTP: their two forms, their ends, readers that are slow or gone, and a server that stops."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_server.engine.snapshots import Changes
from tests.integration.conftest import Start
from tests.support.http import Stream, opened, request
from tests.support.relay import Relay, eventually, new_queue, spec
from tests.support.seams import change_gateway_limits, refresh_every

SSE = {"Accept": "text/event-stream"}
WATCH = "/api/v1/stats:watch"


def port_of(relay: Relay) -> int:
    return relay.http_port


@pytest.fixture
async def relay(another: Start) -> Relay:
    return await another(http="127.0.0.1:0")


def claim(queue: str, **fields: Any) -> dict[str, Any]:
    return {"queues": [{"queue": queue}], "workerId": "w", "maxInFlight": 100} | fields


async def test_server_sent_events(relay: Relay) -> None:
    async with opened(port_of(relay), "GET", WATCH, headers=SSE) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["cache-control"] == "no-store"
        assert await stream.event() == {"retry": "1000"}
        first, second = await stream.event(), await stream.event()
    assert (first["id"], second["id"]) == ("1", "2")
    assert json.loads(first["data"])["time"] < json.loads(second["data"])["time"]


async def test_a_finite_stream_says_that_it_ended(relay: Relay) -> None:
    queue = new_queue()
    await relay.enqueue(queue)
    path = f"/api/v1/queues/{queue}:purge"
    async with opened(port_of(relay), "POST", path, json={"confirm": queue}, headers=SSE) as stream:
        text = (await stream.rest()).decode()
    assert '"purged":"1"' in text
    assert text.endswith("\n\nevent: end\ndata: {}\n\n")
    assert stream.ended


async def test_silence_is_broken_by_comments(relay: Relay) -> None:
    change_gateway_limits(relay.app, heartbeat_s=0.05)
    body = claim(new_queue())
    async with opened(port_of(relay), "POST", "/api/v1/claims", json=body, headers=SSE) as stream:
        await stream.event()
        assert "started" in json.loads((await stream.event())["data"])
        assert await stream.event() == {"": "keep-alive"}


async def test_an_error_after_the_start_is_the_last_event_or_line(relay: Relay) -> None:
    port, body, late = port_of(relay), claim(new_queue()), {"X-Relay-Timeout": "0.2s"}
    async with opened(port, "POST", "/api/v1/claims", json=body, headers=late) as lines:
        last = json.loads((await lines.rest()).splitlines()[-1])
    assert (lines.status, lines.ended, last["error"]["code"]) == (200, True, 4)
    async with opened(port, "POST", "/api/v1/claims", json=body, headers=late | SSE) as events:
        text = (await events.rest()).decode()
    event = text.rstrip().rpartition("\n\n")[2].splitlines()
    assert event[0] == "event: error"
    assert json.loads(event[1].removeprefix("data: "))["code"] == 4


async def test_a_client_that_leaves_ends_its_call_and_unsent_jobs_come_back(relay: Relay) -> None:
    queue, payload = new_queue(), bytes(200_000)
    ids = [id_ for _ in range(4) for id_ in await relay.enqueue(queue, *[spec(payload) for _ in range(10)])]
    async with opened(port_of(relay), "POST", "/api/v1/claims", json=claim(queue), buffered=4096) as stream:
        # Nobody reads: what the connection takes is sent, the rest waits here under its lease.
        await eventually(lambda: _inflight(relay, queue, 40), what="all jobs claimed")
        stream.leave()
        await eventually(lambda: _ready_again(relay, queue), what="the unsent jobs ready again")
    await eventually(lambda: len(relay.app.streams) == 0, what="the end of the stream")
    worker = await relay.claimer(queue, max_in_flight=100)
    held = await worker.take(1)
    assert held[0].id in ids
    assert held[0].job.attempt == 1


async def _inflight(relay: Relay, queue: str, n: int) -> bool:
    return (await relay.stats(queue)).inflight == n


async def _ready_again(relay: Relay, queue: str) -> bool:
    return (await relay.stats(queue)).ready > 0


async def test_a_watcher_that_leaves_ends_its_call(relay: Relay) -> None:
    async with opened(port_of(relay), "GET", WATCH, headers=SSE) as stream:
        await stream.event()
        await eventually(lambda: relay.app.feed.polling, what="the poller")
        stream.leave()
        await eventually(lambda: not relay.app.feed.polling, what="the end of the poller")


async def test_a_slow_reader_is_bounded_and_slows_nobody(relay: Relay) -> None:
    """50 queues that all change, many times a second, for one watcher that does not read and one that does."""
    refresh_every(relay.app.feed, 0.01)
    snapshots = relay.app.snapshots
    snapshots.since = lambda version: Changes(False, snapshots.all(), [])  # type: ignore[method-assign]
    names = [f"{new_queue()}-{'x' * 100}" for _ in range(50)]
    await asyncio.gather(*(relay.enqueue(name) for name in names))
    async with (
        opened(port_of(relay), "GET", WATCH, headers=SSE, buffered=32768) as slow,
        opened(port_of(relay), "GET", WATCH, headers=SSE) as quick,
    ):
        for _ in range(20):
            await quick.event()
        received = 0
        while received < 2 << 20:  # what the slow one would have by now, were it kept for it
            received += len(await quick.part())
        # It reads again: what was on its way, then the newest; what was in between is missed.
        newest = await _newest(quick)
        seen: list[datetime] = []
        while not seen or seen[-1] < newest:
            event = await slow.event()
            if "data" in event:
                seen.append(_time_of(event["data"]))
    assert seen == sorted(seen)
    assert len(seen) < 150, f"{len(seen)} old snapshots were kept for it"


async def _newest(stream: Stream) -> datetime:
    while True:  # the rest of an event whose beginning was read as a part
        line = await stream.line()
        if line.startswith("id:"):
            break
    return _time_of((await stream.line()).removeprefix("data: "))


def _time_of(snapshot: str) -> datetime:
    return datetime.fromisoformat(json.loads(snapshot)["time"])


async def test_streams_end_when_the_server_drains(relay: Relay) -> None:
    assert relay.stop is not None
    port = port_of(relay)
    async with (
        opened(port, "GET", WATCH, headers=SSE) as watch,
        opened(port, "POST", "/api/v1/claims", json=claim(new_queue())) as lines,
    ):
        await watch.event()
        await lines.json_line()
        stopping = asyncio.ensure_future(relay.stop())
        text = (await watch.rest()).decode()
        frames = [json.loads(line) for line in (await lines.rest()).splitlines()]
        await asyncio.wait_for(stopping, 10)
    assert "drain" in frames[-1]
    assert (watch.ended, lines.ended) == (True, True)
    error = text.rpartition("event: error\ndata: ")[2]
    assert json.loads(error)["details"][0]["reason"] == "DRAINING"


async def test_streams_are_counted_and_limited(another: Start) -> None:
    relay = await another(http="127.0.0.1:0", http_streams_max=1)
    port = port_of(relay)
    async with opened(port, "GET", WATCH) as stream:
        await stream.json_line()
        refused = await request(port, "GET", WATCH)
        assert (refused.status, refused.reason) == (429, "OVERLOADED")
        assert refused.headers["retry-after"] == "1"
        stream.leave()
    await eventually(lambda: _watches(port), what="room for another stream")


async def _watches(port: int) -> bool:
    async with opened(port, "GET", WATCH) as stream:
        return stream.status == 200


async def test_a_worker_by_http_alone(relay: Relay) -> None:
    queue, port = new_queue(), port_of(relay)
    (job_id,) = await relay.enqueue(queue, spec(b'{"to": "ada"}'))
    async with opened(port, "POST", "/api/v1/claims", json=claim(queue)) as stream:
        started = (await stream.json_line())["started"]
        jobs = (await stream.json_line())["jobs"]
        assert jobs["jobs"][0]["job"]["payloadJson"] == {"to": "ada"}
        body = {
            "leases": [{"queue": queue, "leaseToken": jobs["leaseToken"], "jobIds": [job_id]}],
            "window": {"sessionId": started["sessionId"], "received": "1", "inFlight": 0, "seq": "1"},
        }
        answer = await request(port, "POST", "/api/v1/leases:ack", json=body)
        assert answer.json == {"outcomes": [pb.LeaseOutcome.Name(pb.LEASE_OUTCOME_OK)]}
    assert (await relay.stats(queue)).inflight == 0
