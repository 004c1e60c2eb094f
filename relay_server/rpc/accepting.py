"""Takes calls from gRPC many at a time, and gives them to their handlers fairly by connection.

gRPC takes one call of a method, needs about five turns of the event loop for it, and then takes the next, in the order
in which they came: behind a flood of 250 calls on one connection everybody waits for 1 250 turns. This module asks for
many calls of a method at once and lets connections take turns, so a connection that floods the server waits.

It reaches behind gRPC's interface: `AioServer._make_request_call_future` says which call comes next. A version of gRPC
that does not have it, or does not call it, serves calls in their order.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

# Calls of one method that gRPC is asked for at once. With more, calls begin faster than they end: with 128 a burst of
# 5 000 was over --calls-max.
ASKED = 16
# Calls of one method that were taken and wait for their turn. Further calls wait in gRPC.
WAITING_MAX = 10_000

# In how many seconds a call of this connection may begin; 0: now.
Pace = Callable[[str], float]


class MethodCalls:
    """The calls of one method that were taken from gRPC. Connections take turns, each with its oldest call."""

    def __init__(self, pace: Pace, *, connection_calls: int) -> None:
        self._pace = pace
        self._connection_calls = connection_calls
        self._waiting: dict[str, deque[Any]] = {}
        self._turns: deque[str] = deque()  # connections that may begin a call now
        self._later: dict[str, asyncio.TimerHandle] = {}  # connections that may not yet
        self._next: asyncio.Future[Any] | None = None
        self._error: Exception | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.count = 0

    def put(self, connection: str, call: Any) -> None:
        """Adds a call. A connection with more calls than it may carry has cancelled its first one, which is dropped."""
        calls = self._waiting.get(connection)
        if calls is None:
            calls = self._waiting[connection] = deque(maxlen=self._connection_calls)
            self._line_up(connection)
        self.count += len(calls) < self._connection_calls
        calls.append(call)
        if self.count >= WAITING_MAX:
            self._room.clear()
        self._give()

    def next(self) -> "asyncio.Future[Any]":
        """Has the next call as its result."""
        self._next = asyncio.get_running_loop().create_future()
        if self._error is not None:
            self._next.set_exception(self._error)
        self._give()
        return self._next

    async def room(self) -> None:
        """Returns when one more call may be taken."""
        await self._room.wait()

    def fail(self, error: Exception) -> None:
        """The server ends: drops the calls that wait, which ends them."""
        self._error = error
        for timer in self._later.values():
            timer.cancel()
        self._waiting.clear()
        self._turns.clear()
        self._later.clear()
        self.count = 0
        if self._next is not None and not self._next.done():
            self._next.set_exception(error)

    def _line_up(self, connection: str) -> None:
        wait_s = self._pace(connection)
        if wait_s > 0:
            loop = asyncio.get_running_loop()
            self._later[connection] = loop.call_later(wait_s, self._due, connection)
        else:
            self._turns.append(connection)

    def _due(self, connection: str) -> None:
        del self._later[connection]
        self._turns.append(connection)
        self._give()

    def _give(self) -> None:
        if self._next is None or self._next.done() or not self._turns:
            return
        connection = self._turns.popleft()
        calls = self._waiting[connection]
        self._next.set_result(calls.popleft())
        self.count -= 1
        self._room.set()
        if calls:
            self._line_up(connection)
        else:
            del self._waiting[connection]


class _FairServer(cygrpc.AioServer):  # type: ignore[misc]
    """gRPC's server with another order of calls. Set `make_calls` before it starts."""

    make_calls: Callable[[], MethodCalls]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._methods: dict[bytes | None, MethodCalls] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[Any]":
        calls = self._methods.get(method)
        if calls is None:
            calls = self._methods[method] = self.make_calls()
            for _ in range(ASKED):
                task = asyncio.get_running_loop().create_task(self._take(method, calls), name="accept")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
        return calls.next()

    async def _take(self, method: bytes | None, calls: MethodCalls) -> None:
        """Takes calls of one method until the server ends."""
        loop = asyncio.get_running_loop()
        while True:
            await calls.room()
            try:
                call = await (
                    self._request_call() if method is None else self._request_registered_call(method)
                )
            except Exception as error:  # noqa: BLE001 - the loop that asks for calls knows what it means
                calls.fail(error)
                return
            calls.put(cygrpc._ServicerContext(call, None, None, loop).peer(), call)


def server(
    *, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Any, pace: Pace, connection_calls: int
) -> grpc.aio.Server:
    """`grpc.aio.server`, with fair turns where gRPC lets us."""
    if not is_fair():
        return grpc.aio.server(interceptors=interceptors, options=options)
    plain = cygrpc.AioServer
    made: list[_FairServer] = []

    def make(*args: Any) -> _FairServer:  # the arguments differ by version
        made.append(_FairServer(*args))
        return made[0]

    cygrpc.AioServer = make
    try:
        found = grpc.aio.server(interceptors=interceptors, options=options)
    finally:
        cygrpc.AioServer = plain
    for one in made:
        one.make_calls = lambda: MethodCalls(pace, connection_calls=connection_calls)
    return found


def is_fair() -> bool:
    """Whether this version of gRPC has what fair turns need."""
    return all(
        hasattr(cygrpc.AioServer, name)
        for name in ("_make_request_call_future", "_request_call", "_request_registered_call")
    ) and hasattr(cygrpc._ServicerContext, "peer")
