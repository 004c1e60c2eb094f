"""Takes calls from gRPC many at a time, and gives them to their handlers fairly by connection.

gRPC takes one call of a method, needs about five turns of the event loop for it, and then takes the next, in the order
in which they came: behind a flood of 250 calls on one connection everybody waits for 1 250 turns. Here some calls of
each method are asked for at once, and connections take turns.

This reaches behind gRPC's interface: `AioServer._make_request_call_future` says which call comes next. Where a version
of gRPC does not have it, or does not call it, calls come as gRPC gives them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

# Calls of one method that gRPC is asked for at once.
ASKED_MAX = 16
# Calls that were taken and wait for their turn, of one method. What is more waits in gRPC.
WAITING_MAX = 4000


class _Lane:
    """The calls of one method that were taken from gRPC. Connections take turns; of one, the first came first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Any]] = {}
        self._calls = 0
        self._next: asyncio.Future[Any] | None = None
        self._error: Exception | None = None
        self._room = asyncio.Event()
        self._room.set()

    def put(self, connection: str, call: Any) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(call)
            return
        self._waiting.setdefault(connection, deque()).append(call)
        self._calls += 1
        if self._calls >= WAITING_MAX:
            self._room.clear()

    def next(self) -> "asyncio.Future[Any]":
        """Has the next call as its result."""
        self._next = asyncio.get_running_loop().create_future()
        if self._calls:
            connection = next(iter(self._waiting))
            calls = self._waiting.pop(connection)
            self._next.set_result(calls.popleft())
            if calls:
                self._waiting[connection] = calls  # at the end of the line
            self._calls -= 1
            self._room.set()
        elif self._error is not None:
            self._next.set_exception(self._error)
        return self._next

    async def room(self) -> None:
        """Returns when one more call may be taken."""
        await self._room.wait()

    def fail(self, error: Exception) -> None:
        """The server ends: calls that wait are let go, which ends them."""
        self._error = error
        self._waiting.clear()
        self._calls = 0
        if self._next is not None and not self._next.done():
            self._next.set_exception(error)


class _FairServer(cygrpc.AioServer):  # type: ignore[misc]
    """gRPC's server, but for the order of calls."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lanes: dict[bytes | None, _Lane] = {}
        self._taking: set[asyncio.Task[None]] = set()

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[Any]":
        lane = self._lanes.get(method)
        if lane is None:
            lane = self._lanes[method] = _Lane()
            for _ in range(ASKED_MAX):
                task = asyncio.get_running_loop().create_task(self._take(method, lane), name="accept")
                self._taking.add(task)
                task.add_done_callback(self._taking.discard)
        return lane.next()

    async def _take(self, method: bytes | None, lane: _Lane) -> None:
        """Takes calls of one method until the server ends."""
        loop = asyncio.get_running_loop()
        while True:
            await lane.room()
            try:
                call = await (
                    self._request_call() if method is None else self._request_registered_call(method)
                )
            except Exception as error:  # noqa: BLE001 - the loop that asks for calls knows what it means
                lane.fail(error)
                return
            lane.put(cygrpc._ServicerContext(call, None, None, loop).peer(), call)


def server(*, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Any) -> grpc.aio.Server:
    """`grpc.aio.server`, with fair turns where gRPC lets us."""
    if not is_fair():
        return grpc.aio.server(interceptors=interceptors, options=options)
    plain = cygrpc.AioServer
    cygrpc.AioServer = _FairServer  # its arguments change from version to version: only gRPC knows them
    try:
        return grpc.aio.server(interceptors=interceptors, options=options)
    finally:
        cygrpc.AioServer = plain


def is_fair() -> bool:
    """Whether this version of gRPC has what fair turns need."""
    return all(
        hasattr(cygrpc.AioServer, name)
        for name in ("_make_request_call_future", "_request_call", "_request_registered_call")
    ) and hasattr(cygrpc._ServicerContext, "peer")
