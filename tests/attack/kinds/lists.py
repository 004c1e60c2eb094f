"""Calls whose lists have no end, with a token that has the role and with one that has not.

An empty entry is two bytes, so that one call of 4 MiB holds two million. A refusal must cost little, keep nothing and
say why; and a request that is just within its bounds must not stop the loop either.
"""

import asyncio
import http.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from relay.v1 import queue_service_pb2 as pb
from relay_server import limits
from relay_server.contract import bounds
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import Stage, settled_mib, stage
from tests.support.figures import KIB, MIB, Figure
from tests.support.relay import new_id

LARGEST_BYTES = limits.MESSAGE_BYTES_MAX - KIB
REFUSED = {
    "INVALID_ARGUMENT",
    "RESOURCE_EXHAUSTED",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "400",
    "403",
    "413",
}
CPU_S_MAX, PEAK_MIB_MAX, KEPT_MIB_MAX = 0.1, 40, 25
PAUSE_S = 0.1
QUEUE = f"{ATTACKER}-lists"
WITHIN_S = 60

Make = Callable[[int], bytes]
_QUEUES, _DEAD, _ADMIN = "relay.v1.QueueService", "relay.v1.DeadLetterService", "relay.v1.AdminService"
_KEDA, _HEALTH = "externalscaler.ExternalScaler", "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def field(number: int, value: bytes) -> bytes:
    """A string, bytes or message on the wire."""
    head, size = bytes([number << 3 | 2]), len(value)
    while size > 0x7F:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + value


def empty(number: int) -> Make:
    """Empty entries of a list."""
    return lambda size: field(number, b"") * (size // 2)


def inside(number: int, make: Make) -> Make:
    """The same, inside of one field."""
    return lambda size: field(number, make(size - 8))


def _text(number: int) -> Make:
    return lambda size: field(number, b"x" * (size - 8))


def _headers(size: int) -> bytes:
    """Jobs that are each within 8 KiB of headers, and have a thousand of them."""
    job = field(2, b"".join(field(5, field(1, b"%x" % i)) for i in range(1000)))
    return job * (size // len(job))


def _claim_within_bounds(_size: int) -> bytes:
    """As many leases as a session may have, each of another queue; the worker's name is left out."""
    return pb.ClaimRequest(
        queues=[pb.QueueWeight(queue=QUEUE)],
        max_in_flight=1,
        leases=[
            pb.LeaseGroup(queue=f"{QUEUE}-{n}", lease_token=bytes(16), job_ids=[new_id()])
            for n in range(limits.IN_FLIGHT_MAX)
        ],
    ).SerializeToString()


def _batch_within_bounds(_size: int) -> bytes:
    """As many jobs as a batch may have, each with as many headers as it may have; the last has no type."""
    headers = {f"h{n}": "v" for n in range(limits.HEADERS_MAX)}
    jobs = [{"type": "t" * (n < limits.BATCH_JOBS_MAX - 1), "headers": headers} for n in range(500)]
    return pb.EnqueueBatchRequest(queue=QUEUE, jobs=jobs).SerializeToString()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message for one method, of a given size. `role` may make the call, `other` may not."""

    what: str
    service: str
    make: Make
    role: str
    other: str = "viewer"
    size: int = LARGEST_BYTES

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.what.partition(' ')[0].partition('.')[0]}"

    def __str__(self) -> str:
        return f"{self.what}, {self.size >> 10} KiB"

    async def send(self, place: Place, token: str) -> str:
        """The code that it ended with."""
        async with place.caller(token) as caller:
            try:
                await self._send(caller, self.make(self.size))
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return "OK"

    async def _send(self, caller: Caller, raw: bytes) -> None:
        channel: Any = caller.channel
        given = {"metadata": caller.metadata, "timeout": WITHIN_S}
        if self.service == _REFLECTION:
            await channel.stream_stream(self.path)(iter([raw]), **given).read()
        else:  # a call with one answer is, for who reads it so, a stream of one
            await channel.unary_stream(self.path)(raw, **given).read()


_FOUR_MIB = (
    Call(what="Ack.leases", service=_QUEUES, make=empty(1), role="worker"),
    Call(what="Ack.leases.job_ids", service=_QUEUES, make=inside(1, empty(3)), role="worker"),
    Call(what="Nack.jobs", service=_QUEUES, make=empty(1), role="worker"),
    Call(what="Extend.leases", service=_QUEUES, make=empty(1), role="worker"),
    Call(what="Extend.progress", service=_QUEUES, make=empty(3), role="worker"),
    Call(what="Claim.queues", service=_QUEUES, make=empty(1), role="worker"),
    Call(what="Claim.leases", service=_QUEUES, make=empty(8), role="worker"),
    Call(what="Claim.leases.job_ids", service=_QUEUES, make=inside(8, empty(3)), role="worker"),
    Call(what="Enqueue.job.headers", service=_QUEUES, make=inside(2, empty(5)), role="producer"),
    Call(what="Enqueue.job in parts", service=_QUEUES, make=empty(2), role="producer"),
    Call(what="EnqueueBatch.jobs", service=_QUEUES, make=empty(2), role="producer"),
    Call(what="EnqueueBatch.jobs.headers", service=_QUEUES, make=_headers, role="producer"),
    Call(what="CancelJobs.ids", service=_ADMIN, make=inside(2, empty(1)), role="operator"),
    Call(what="RequeueDeadLetters.ids", service=_DEAD, make=inside(2, empty(1)), role="operator"),
    Call(what="PurgeDeadLetters.ids", service=_DEAD, make=inside(2, empty(1)), role="operator"),
    Call(what="ListDeadLetters.filter in parts", service=_DEAD, make=empty(2), role="viewer", other="worker"),
    Call(what="Stats of unknown fields", service=_ADMIN, make=empty(9), role="viewer", other="worker"),
    Call(what="GetMetricSpec.scalerMetadata", service=_KEDA, make=empty(3), role="viewer", other="worker"),
    Call(
        what="GetMetrics.scalerMetadata",
        service=_KEDA,
        make=inside(1, empty(3)),
        role="viewer",
        other="worker",
    ),
    Call(what="Check.service", service=_HEALTH, make=_text(1), role="", other=""),
    Call(what="ServerReflectionInfo.symbol", service=_REFLECTION, make=_text(4), role="viewer"),
)
# As large as each may be.
_JUST_AS_LARGE = tuple(
    Call(what=one.what, service=one.service, make=one.make, role=one.role, other=one.other, size=most)
    for one in _FOUR_MIB
    if one.what not in {"Stats of unknown fields", "Check.service", "ServerReflectionInfo.symbol"}
    and (most := bounds.BY_METHOD[one.path].bytes_max) < LARGEST_BYTES
)
CALLS = (
    *_FOUR_MIB,
    *_JUST_AS_LARGE,
    Call(
        what="Claim within its bounds", service=_QUEUES, make=_claim_within_bounds, role="worker", size=1900 * KIB
    ),
    Call(
        what="EnqueueBatch within its bounds",
        service=_QUEUES,
        make=_batch_within_bounds,
        role="producer",
        size=MIB // 4,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """The same over HTTP."""

    what: str
    path: str
    body: Callable[[], bytes]
    role: str
    other: str = "viewer"

    def __str__(self) -> str:
        return f"HTTP {self.what}"

    async def send(self, place: Place, token: str) -> str:
        """The HTTP status."""
        return await asyncio.to_thread(self._send, place, token)

    def _send(self, place: Place, token: str) -> str:
        connection = http.client.HTTPSConnection(
            "localhost", place.http_port, timeout=WITHIN_S, context=place.tls
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", f"/api/v1/{self.path}", self.body(), headers)
            return str(connection.getresponse().status)
        except ConnectionError:
            return "413"  # refused while the body was still on its way
        finally:
            connection.close()


def _json(start: bytes, entry: bytes, end: bytes, entries: int) -> Callable[[], bytes]:
    return lambda: start + b",".join([entry] * entries) + end


_BATCH = f"queues/{QUEUE}/jobs:batch"
POSTS = (
    Post(what="Ack.leases", path="leases:ack", body=_json(b'{"leases":[', b"{}", b"]}", 99_000), role="worker"),
    Post(
        what="Ack.leases.jobIds",
        path="leases:ack",
        body=_json(b'{"leases":[{"jobIds":[', b'""', b"]}]}", 190_000),
        role="worker",
    ),
    Post(what="Claim.leases", path="claims", body=_json(b'{"leases":[', b"{}", b"]}", 24_000), role="worker"),
    Post(
        what="EnqueueBatch.jobs", path=_BATCH, body=_json(b'{"jobs":[', b"{}", b"]}", 24_000), role="producer"
    ),
    Post(
        what="EnqueueBatch.jobs, more than values",
        path=_BATCH,
        body=_json(b'{"jobs":[', b"{}", b"]}", 1_500_000),
        role="producer",
    ),
    Post(
        what="EnqueueBatch.jobs.payloadJson of many values",
        path=_BATCH,
        body=_json(b'{"jobs":[{"payloadJson":[', b"{}", b"]}]}", 24_000),
        role="producer",
    ),
    Post(
        what="strings and then commas", path=_BATCH, body=lambda: b'""' * 2_700_000 + b"," * 200_001, role="producer"
    ),
    Post(
        what="brackets and then commas", path=_BATCH, body=lambda: b"]" * 5_700_000 + b"," * 200_001, role="producer"
    ),
    Post(
        what="CancelJobs.ids",
        path=f"queues/{QUEUE}/jobs:cancel",
        body=_json(b'{"ids":{"ids":[', b'""', b"]}}", 190_000),
        role="operator",
    ),
    Post(
        what="a field given often in the query",
        path=f"queues/{QUEUE}:pause?" + "queue=q&" * 5000,
        body=lambda: b"",
        role="operator",
    ),
)  # fmt: skip

Attack = Call | Post
_ALL: Sequence[Attack] = (*CALLS, *POSTS)
EVERY: Sequence[tuple[Attack, str]] = [
    (one, role) for one in _ALL for role in dict.fromkeys((one.role, one.other))
]


def _token(place: Place, role: str) -> str:
    return str(getattr(place, role)) if role else ""


async def press(place: Place) -> None:
    while True:
        for one, role in EVERY:
            await one.send(place, _token(place, role))
            await asyncio.sleep(PAUSE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one call cost the server."""

    name: str
    code: str
    cpu_s: float
    peak_mib: float


async def costs(on: Stage, attacks: Sequence[tuple[Attack, str]]) -> list[Cost]:
    """Makes the calls one after the other."""
    process, found = Path(f"/proc/{on.place.server_pid}"), []
    for one, role in attacks:
        (process / "clear_refs").write_text("5")  # the peak starts anew
        rss, cpu_s = on.rss_mib(), _cpu_s(process)
        code = await one.send(on.place, _token(on.place, role))
        name = f"{one} as {role or 'nobody'}"
        cost = Cost(name=name, code=code, cpu_s=_cpu_s(process) - cpu_s, peak_mib=_peak_mib(process) - rss)
        found.append(cost)
        print(
            f"    {name}: {code}, {cost.cpu_s:.2f} s of CPU, {cost.peak_mib:.0f} MiB at most, "
            f"{on.rss_mib():.0f} MiB after",
            flush=True,
        )
    return found


def _cpu_s(process: Path) -> float:
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100


def _peak_mib(process: Path) -> float:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * KIB / MIB


async def measure(*, whole: bool) -> list[Figure]:
    # In short, each with its role, and some without it.
    chosen = (
        list(EVERY) * 3 if whole else [one for one in EVERY if one[1] == one[0].role] + list(EVERY[1:12:2])
    )
    async with stage() as on:
        await costs(on, [EVERY[0], EVERY[-1]])  # memory of the first call over gRPC and over HTTP stays
        before = on.rss_mib()
        found = await costs(on, chosen)
        after = await settled_mib(on)
        served = [f"{cost.name}: {cost.code}" for cost in found if cost.code not in REFUSED]
        dearest, largest = (max(found, key=lambda c: c.cpu_s), max(found, key=lambda c: c.peak_mib))
        figures = [
            Figure(name=f"endless lists that were served {served}", value=len(served), most=0, unit="calls"),
            Figure(
                name=f"CPU of the dearest, {dearest.name}",
                value=dearest.cpu_s * 1000,
                most=CPU_S_MAX * 1000,
                unit="ms",
                timed=True,
            ),
            Figure(
                name=f"memory of the largest while it ran, {largest.name}",
                value=largest.peak_mib,
                most=PEAK_MIB_MAX,
                unit="MiB",
            ),
            Figure(name="memory kept", value=after - before, most=KEPT_MIB_MAX, unit="MiB"),
        ]
        if whole:
            async with on.innocent() as felt, on.pressed("lists"):
                await asyncio.sleep(60)
            figures += felt.figures("calls with endless lists")
        return figures
