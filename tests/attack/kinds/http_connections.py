"""Connections to the HTTP listener that are held and not used: silent before or after TLS, a byte now and then of the
headers or of the body, requests whose answers are never read. None has a token but for the bodies.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable

from tests.attack.over_http import Connection, abandon, connect, get, head, left_open
from tests.attack.place import Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure

# In short: the same server with times that a test can wait for.
SHORT = (
    *("--http-header-timeout-s", "1", "--http-write-timeout-s", "1", "--http-idle-timeout-s", "5"),
    *(
        "--http-timeout-max-s",
        "1",
        "--http-connections-max",
        "100",
        "--http-connections-per-address-max",
        "80",
    ),
)
_BODY = {"Content-Type": "application/json", "Content-Length": "4000"}
_TRIES = 5
_LARGE = "/openapi.json"


async def _no_handshake(place: Place) -> Connection:
    return await asyncio.open_connection("127.0.0.1", place.http_port)


async def _silent(place: Place) -> Connection:
    return await connect(place)


async def _slow_headers(place: Place) -> Connection:
    connection = await connect(place)
    connection[1].write(head("GET", "/healthz")[:-2])
    return connection


async def _slow_body(place: Place) -> Connection:
    connection = await connect(place)
    path = "/api/v1/queues/evil-slow/jobs"
    connection[1].write(head("POST", path, token=place.producer, more=_BODY) + b"{")
    return connection


async def _slow_sign_in(place: Place) -> Connection:
    connection = await connect(place)
    connection[1].write(head("POST", "/api/v1/sign-in", more=_BODY) + b"{")
    return connection


async def _unread(place: Place) -> Connection:
    """Asks for the largest thing that is there for everybody, over and over."""
    reader, writer = await connect(place, read_bytes=4096)
    reader._limit = 1  # type: ignore[attr-defined] # the transport stops reading at once
    writer.write(head("GET", _LARGE) * 20)
    return reader, writer


WAYS: dict[str, Callable[[Place], Awaitable[Connection]]] = {
    "no handshake": _no_handshake,
    "silent": _silent,
    "slow headers": _slow_headers,
    "slow body": _slow_body,
    "slow sign-in": _slow_sign_in,
    "answers not read": _unread,
}
_DRIPPING = {"slow headers": b"x: y\r\n", "slow body": b" ", "slow sign-in": b" "}


async def opened(place: Place, way: str, connections: int) -> list[Connection]:
    made: list[Connection] = []

    async def some(numbers: "itertools.count[int]") -> None:
        while next(numbers) < connections:
            with contextlib.suppress(OSError, EOFError):
                made.append(await WAYS[way](place))

    numbers = itertools.count()
    await asyncio.gather(*(some(numbers) for _ in range(8)))
    return made


async def _drip(connections: list[Connection], way: str) -> None:
    while way in _DRIPPING:
        await asyncio.sleep(0.5)
        for _, writer in connections:
            if not writer.is_closing():
                writer.write(_DRIPPING[way])


async def press(place: Place) -> None:
    """About as many as an address may hold, of each way in turn."""
    while True:
        for way in WAYS:
            held = await opened(place, way, 300)
            dripping = asyncio.create_task(_drip(held, way))
            try:
                await left_open(place, within=20, others=30)
            finally:
                dripping.cancel()
                abandon(held)


async def _asked(place: Place) -> bool:
    """Whether an honest call on a connection of its own gets in, repeated as a 503 says, and on a new connection where
    it was slow to ask and its place was given away."""
    for _ in range(_TRIES):
        try:
            code, headers, _ = await get(place, "/api/v1/stats", token=place.innocent)
        except (ConnectionError, EOFError):
            continue
        if code != 503:
            return True  # a busy machine may need longer for a call than it has
        await asyncio.sleep(int(headers["retry-after"]))
    return False


async def _still_in(place: Place, stop: asyncio.Event) -> tuple[int, list[str]]:
    """An honest caller: how often it was answered, and what happened otherwise."""
    answered = 0
    failed: list[str] = []
    while not stop.is_set():
        try:
            async with asyncio.timeout(20):
                if await _asked(place):
                    answered += 1
                else:
                    failed.append("refused")
        except (OSError, EOFError, TimeoutError) as error:
            failed.append(repr(error))
        await asyncio.sleep(0.1)
    return answered, failed


async def _held(place: Place, way: str, connections: int, within: float) -> list[Figure]:
    stop = asyncio.Event()
    honest = asyncio.create_task(_still_in(place, stop))
    held = await opened(place, way, connections)
    dripping = asyncio.create_task(_drip(held, way))
    left = await left_open(place, within=within)
    stop.set()
    answered, failed = await honest
    dripping.cancel()
    abandon(held)
    print(
        f"    {way}: {left} of {connections} left, honest calls: {answered} answered, not: {failed}",
        flush=True,
    )
    return [
        Figure(
            name=f"{way}: left of {connections} after {within:g} s", value=left, most=0, unit="connections"
        ),
        Figure(name=f"{way}: honest HTTP calls that failed", value=len(failed), most=0, unit="calls"),
    ]


async def measure(*, whole: bool) -> list[Figure]:
    connections, within = (950, 62.0) if whole else (90, 20.0)
    async with stage(*(() if whole else SHORT)) as on:
        before, found = on.rss_mib(), []
        async with on.innocent() as felt:
            most = 0.0
            for way in WAYS:
                found += await _held(on.place, way, connections, within)
                most = max(most, on.rss_mib())
        after = await settled_mib(on)
        return [
            *found,
            Figure(name=f"memory while {connections} were held", value=most - before, most=120, unit="MiB"),
            Figure(name="memory kept", value=after - before, most=40, unit="MiB"),
            *felt.figures("held HTTP connections"),
        ]
