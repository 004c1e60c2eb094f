"""A proxy that breaks connections on purpose: between server and Redis, or client and server, over TCP or unix sockets.

async with proxying("/tmp/redis.sock") as proxy:         or a (host, port)
    lost = proxy.lose_reply(b"...")                      the next request with these bytes runs; its reply is lost
    proxy.swallow_replies(b"...")                        the same, and the connection stays, silent
    proxy.cut_after(100, replies=True)                   each connection ends at byte 100 of its replies
    proxy.delay_s = 0.05                                 every piece of data, both ways
    proxy.freeze(); proxy.thaw()                         nothing passes, connections stay
    proxy.cut()                                          all connections end now, with a reset
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 65536

Upstream = str | tuple[str, int]


@dataclass(slots=True, eq=False)
class Loss:
    """Waits for a request that holds `needle`; then what the other side replies is not passed on, once."""

    needle: bytes
    cuts: bool
    connection: "_Connection | None" = None
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    # End of what was sent, so that a needle may lie across two pieces.
    tail: bytes = b""
    passed: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})

    def reset(self) -> None:
        """Ends both sides at once, with what is still buffered."""
        for writer in (self.client, self.server):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                with suppress(OSError):  # closed already
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Passes bytes on until a test breaks it. `port` is on 127.0.0.1."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.port = 0
        self.delay_s = 0.0
        self.accepted = 0
        self._closed = False
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._losses: list[Loss] = []
        self._limit: tuple[int, bool] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lose_reply(self, needle: bytes) -> Loss:
        """The reply to the next request with `needle` is lost: once it is there, both sides are cut."""
        return self._lose(Loss(needle, cuts=True))

    def swallow_replies(self, needle: bytes) -> Loss:
        """From the next request with `needle` on, its connection gets no replies, until it is cut."""
        return self._lose(Loss(needle, cuts=False))

    def forget(self, loss: Loss) -> None:
        """A loss that has not come yet will not come."""
        with suppress(ValueError):
            self._losses.remove(loss)

    def _lose(self, loss: Loss) -> Loss:
        self._losses.append(loss)
        return loss

    def cut_after(self, n: int | None, *, replies: bool) -> None:
        """Each connection ends once `n` bytes of requests, or replies, have passed; None: no longer."""
        self._limit = None if n is None else (n, replies)

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> int:
        """Ends all connections; new ones are welcome. Returns how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one more connection."""
        self.accepted += 1
        if self._closed:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # A task that is cancelled before its first step runs none of its own code.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def close(self) -> None:
        """Ends all connections for good."""
        self._closed = True
        self.thaw()
        for task in (serving := list(self._serving)):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            if isinstance(self.upstream, str):
                up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
            else:
                up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            writers.append(up_writer)
            await self._join(_Connection(writer, up_writer), reader, up_reader)
        except OSError:
            pass  # nobody is there, which the client sees
        finally:
            for each in writers:
                each.transport.abort()
                with suppress(OSError):
                    await each.wait_closed()

    async def _join(
        self, connection: _Connection, reader: asyncio.StreamReader, up_reader: asyncio.StreamReader
    ) -> None:
        self._connections.add(connection)
        pumps = [
            asyncio.create_task(self._pump(connection, reader, connection.server, self._request)),
            asyncio.create_task(self._pump(connection, up_reader, connection.client, self._reply)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._connections.discard(connection)
            connection.reset()

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[_Connection, bytes], bytes | None],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                passing = look(connection, data)
                if passing is None:
                    return
                limited = self._limited(connection, passing, replies=look == self._reply)
                writer.write(limited)
                await writer.drain()
                if len(limited) < len(passing):
                    writer.close()  # what was let through still arrives
                    await writer.wait_closed()
                    return

    def _limited(self, connection: _Connection, data: bytes, *, replies: bool) -> bytes:
        passed = connection.passed[replies]
        connection.passed[replies] += len(data)
        if self._limit is None or self._limit[1] is not replies:
            return data
        return data[: max(0, self._limit[0] - passed)]

    def _request(self, connection: _Connection, data: bytes) -> bytes:
        for loss in self._losses:
            if loss.connection is None and loss.needle in connection.tail + data:
                loss.connection = connection
                loss.seen.set()
        longest = max((len(loss.needle) for loss in self._losses), default=1)
        connection.tail = (connection.tail + data)[-longest + 1 :] if longest > 1 else b""
        return data

    def _reply(self, connection: _Connection, data: bytes) -> bytes | None:
        for loss in self._losses:
            if loss.connection is connection:
                loss.done.set()
                if not loss.cuts:
                    return b""
                self._losses.remove(loss)
                return None
        return data


@asynccontextmanager
async def proxying(upstream: Upstream, *, port: int = 0) -> AsyncIterator[Proxy]:
    """A proxy on a free port of 127.0.0.1, or a given one, to a unix socket's path or (host, port)."""
    proxy = Proxy(upstream)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", port)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
