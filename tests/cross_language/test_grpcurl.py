"""grpcurl, with nothing but the server's reflection at hand, calls every RPC of the contract.

Fields have their names of the .proto files: the descriptors that reflection serves carry no JSON names.
"""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cross_language.program import WITHIN_S
from tests.support.relay import Relay, eventually

# On a machine that never built it, grpcurl takes a minute and a half of one core, once.
BUILD_S = 500.0
pytestmark = pytest.mark.timeout(BUILD_S + 100)

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = "relay.v1."
QUEUE = "by-hand"
Reply = dict[str, Any]


class Grpcurl:
    """The program and what it called."""

    def __init__(self, binary: Path, address: str) -> None:
        self.binary = binary
        self.address = address
        self.called: set[str] = set()

    async def names(self, *of: str) -> list[str]:
        """Services, or the methods of one."""
        return (await self._run("list", *of)).split()

    async def call(self, method: str, **request: Any) -> list[Reply]:
        """All replies of a call that ends by itself; fails with what grpcurl says when the call does."""
        self.called.add(CONTRACT + method.replace("/", "."))
        return _replies(await self._run(CONTRACT + method, request=request))

    async def one(self, method: str, **request: Any) -> Reply:
        """The only reply."""
        (reply,) = await self.call(method, **request)
        return reply

    @asynccontextmanager
    async def stream(self, method: str, **request: Any) -> AsyncIterator[AsyncIterator[Reply]]:
        """The replies of a call that goes on until the block ends."""
        self.called.add(CONTRACT + method.replace("/", "."))
        process = await self._start(CONTRACT + method, request=request)
        try:
            yield _streamed(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def _start(self, *words: str, request: Reply | None = None) -> asyncio.subprocess.Process:
        data = [] if request is None else ["-d", json.dumps(request)]
        return await asyncio.create_subprocess_exec(
            *(str(self.binary), "-plaintext", *data, self.address, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def _run(self, *words: str, request: Reply | None = None) -> str:
        process = await self._start(*words, request=request)
        async with asyncio.timeout(WITHIN_S):
            out, said = await process.communicate()
        assert process.returncode == 0, f"grpcurl {' '.join(words)}: {said.decode()}"
        return out.decode()


def _replies(text: str) -> list[Reply]:
    decoder, replies = json.JSONDecoder(), []
    while text := text.lstrip():
        reply, end = decoder.raw_decode(text)
        replies.append(reply)
        text = text[end:]
    return replies


async def _streamed(process: asyncio.subprocess.Process) -> AsyncIterator[Reply]:
    """grpcurl indents what it prints: a reply ends with a brace at the start of a line."""
    assert process.stdout is not None
    text = ""
    async with asyncio.timeout(WITHIN_S):
        async for line in process.stdout:
            text += line.decode()
            if line.startswith((b"}", b"{}")):
                yield json.loads(text)
                text = ""
    assert process.stderr is not None
    raise AssertionError(f"the stream ended: {(await process.stderr.read()).decode()}")


@pytest.fixture(scope="session")
def binary() -> Path:
    """grpcurl, built from its module into the cache unless it is there."""
    command = [sys.executable, "tools/go.py", "tools", "tests/cross_language/grpcurl"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False)
    if done.returncode:
        pytest.fail(f"grpcurl cannot be built:\n{done.stderr}", pytrace=False)
    return Path(done.stdout.strip()) / "grpcurl"


async def test_every_rpc_by_reflection(binary: Path, server: Relay) -> None:
    """An operator's and a worker's day without any client of ours."""
    grpcurl = Grpcurl(binary, server.address)
    services = await grpcurl.names()
    assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} < set(services)
    contract = {
        method
        for service in services
        if service.startswith(CONTRACT)
        for method in await grpcurl.names(service)
    }
    await _settings(grpcurl)
    await _work(grpcurl)
    await _dead_letters(grpcurl)
    await _jobs(grpcurl)
    await _figures(grpcurl)
    purged = await grpcurl.call("AdminService/PurgeQueue", queue=QUEUE, confirm=QUEUE, forget=True)
    assert purged[-1]["done"] is True
    assert purged[-1]["forgotten"] is True
    assert not contract - grpcurl.called, "RPCs that this test does not call yet: add them"
    assert grpcurl.called == contract


async def _settings(grpcurl: Grpcurl) -> None:
    job = {"type": "work", "payload": base64.b64encode(b'{"n": 1}').decode()}
    made = await grpcurl.one("QueueService/Enqueue", queue=QUEUE, job=job)
    assert made["job_id"]
    batch = await grpcurl.one("QueueService/EnqueueBatch", queue=QUEUE, jobs=[job, job])
    assert len({result["job_id"] for result in batch["results"]}) == 2
    changed = await grpcurl.one("AdminService/UpdateQueue", queue=QUEUE, settings={"max_expirations": 5})
    assert changed["queue"]["settings"]["max_expirations"] == 5
    paused = await grpcurl.one("AdminService/PauseQueue", queue=QUEUE)
    assert paused["queue"]["paused"] is True
    resumed = await grpcurl.one("AdminService/ResumeQueue", queue=QUEUE)
    assert not resumed["queue"].get("paused")
    listed = await grpcurl.one("AdminService/ListQueues", prefix=QUEUE)
    assert [queue["name"] for queue in listed["queues"]] == [QUEUE]


async def _work(grpcurl: Grpcurl) -> None:
    """Claims the three jobs, finishes one and buries two."""
    claim = {"queues": [{"queue": QUEUE}], "worker_id": "a-person", "max_in_flight": 3, "lease": "300s"}
    async with grpcurl.stream("QueueService/Claim", **claim) as frames:
        assert "started" in await anext(frames)
        held: list[tuple[str, str]] = []
        while len(held) < 3:
            got = (await anext(frames)).get("jobs", {"jobs": []})
            assert all(base64.b64decode(one["job"]["payload"]) == b'{"n": 1}' for one in got["jobs"])
            held += [(got["lease_token"], one["job"]["id"]) for one in got["jobs"]]

        async def workers() -> list[Reply]:
            listed: list[Reply] = (await grpcurl.one("AdminService/ListWorkers")).get("workers", [])
            return listed

        (worker,) = await eventually(workers, within=WITHIN_S, what="a worker in the list")
        assert (worker["worker_id"], worker["connected"]) == ("a-person", True)
        leases = [{"queue": QUEUE, "lease_token": token, "job_ids": [id_]} for token, id_ in held]
        extended = await grpcurl.one("QueueService/Extend", leases=leases)
        assert [one["outcome"] for one in extended["results"]] == ["LEASE_OUTCOME_OK"] * 3
        acked = await grpcurl.one("QueueService/Ack", leases=leases[:1])
        assert acked["outcomes"] == ["LEASE_OUTCOME_OK"]
        nacks = [
            {"queue": QUEUE, "job_id": id_, "lease_token": token, "kind": "NACK_KIND_DEAD"}
            | {"error": {"type": "ByHand", "message": "größe"}}
            for token, id_ in held[1:]
        ]
        nacked = await grpcurl.one("QueueService/Nack", jobs=nacks)
        assert [one["state"] for one in nacked["results"]] == ["JOB_STATE_DEAD"] * 2


async def _dead_letters(grpcurl: Grpcurl) -> None:
    """Of the two, one goes back to ready and one goes for good."""
    listed = await grpcurl.one("DeadLetterService/ListDeadLetters", queue=QUEUE)
    assert [one["error_message"] for one in listed["jobs"]] == ["größe"] * 2
    grouped = await grpcurl.one("DeadLetterService/GroupDeadLetters", queue=QUEUE)
    assert [(one["error_type"], one["count"]) for one in grouped["groups"]] == [("ByHand", "2")]
    ids = {"ids": [listed["jobs"][0]["id"]]}
    requeued = await grpcurl.call("DeadLetterService/RequeueDeadLetters", queue=QUEUE, ids=ids)
    assert requeued[-1]["requeued"] == "1"
    purged = await grpcurl.call("DeadLetterService/PurgeDeadLetters", queue=QUEUE, filter={"all": True})
    assert purged[-1]["purged"] == "1"


async def _jobs(grpcurl: Grpcurl) -> None:
    """A delayed job is found, run now and cancelled."""
    later = {"type": "later", "delay": "3600s", "headers": {"größe": "日本"}}
    id_ = (await grpcurl.one("QueueService/Enqueue", queue=QUEUE, job=later))["job_id"]
    delayed = await grpcurl.one("AdminService/ListJobs", queue=QUEUE, state="JOB_STATE_DELAYED")
    assert [one["id"] for one in delayed["jobs"]] == [id_]
    await grpcurl.one("AdminService/RunJobNow", queue=QUEUE, job_id=id_)
    found = await grpcurl.one("AdminService/GetJob", queue=QUEUE, job_id=id_)
    assert (found["summary"]["state"], found["job"]["headers"]) == ("JOB_STATE_READY", {"größe": "日本"})
    cancelled = await grpcurl.call("AdminService/CancelJobs", queue=QUEUE, ids={"ids": [id_]})
    assert cancelled[-1]["cancelled"] == "1"


async def _figures(grpcurl: Grpcurl) -> None:
    stats = await grpcurl.one("AdminService/Stats", queue=QUEUE)
    counters = stats["queues"][0]["counters"]
    assert (counters["enqueued"], counters["acked"], counters["cancelled"]) == ("4", "1", "1")
    async with grpcurl.stream("AdminService/WatchStats", queue=QUEUE) as snapshots:
        assert (await anext(snapshots))["queues"][0]["ready"] == "1"
    await grpcurl.one("AdminService/GetHistory", queue=QUEUE)
    audited = await grpcurl.call("AdminService/Audit", queue=QUEUE)
    assert audited[-1]["done"] is True
    assert not any("findings" in reply for reply in audited)
    info = await grpcurl.one("AdminService/GetServerInfo")
    assert info["store"]["embedded"] is True
