"""HTTP/2 by hand: a gRPC call whose frames a library would not send. Nothing is decoded but what moves the windows."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_STREAMS_MAX, _INITIAL_WINDOW = 3, 4  # settings
_CANCEL = 8  # an error code
_FRAME_BYTES = 16 << 10
_WINDOW_BYTES = 65_535

ENQUEUE = "/relay.v1.QueueService/Enqueue"
HEALTH = "/grpc.health.v1.Health/Check"


def prefix(size: int) -> bytes:
    """The five bytes before a message of `size` bytes."""
    return struct.pack(">BI", 0, size)


class Wire:
    """One connection. `ended` are its calls that the server answered or reset; `closed` is set when it hung up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended: set[int] = set()
        self.closed = asyncio.Event()
        self.streams_max = 0  # as the server states it
        self.sent_bytes = 0  # of messages
        self.stated = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._opened = 0
        self._initial_bytes = _WINDOW_BYTES
        self._window_bytes = _WINDOW_BYTES
        self._windows: dict[int, int] = {}
        self._moved = asyncio.Event()
        self.heard = asyncio.create_task(self._listen())

    def open(
        self, method: str, metadata: Iterable[tuple[str, str]] = (), *, message: bytes | None = None
    ) -> int:
        """Begins a call, and ends it with a message when one is given; returns the number of its stream."""
        headers = (
            (":method", "POST"),
            (":scheme", "https"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        )
        stream = 2 * self._opened + 1
        self._opened += 1
        self._windows[stream] = self._initial_bytes
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
        self._frame(_HEADERS, _END_HEADERS, stream, block)
        if message is not None:
            self._frame(_DATA, _END_STREAM, stream, prefix(len(message)) + message)
            self._window_bytes -= 5 + len(message)
        return stream

    async def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Sends as the windows allow, until all is sent or the call has ended."""
        sent = 0
        while sent < len(data) and stream not in self.ended and not self.closed.is_set():
            if self._writer.is_closing():
                break
            window = min(self._window_bytes, self._windows[stream])
            most = min(window, _FRAME_BYTES, len(data) - sent)
            if most <= 0:
                self._moved.clear()
                await self._moved.wait()
                continue
            last = ends and sent + most == len(data)
            self._frame(_DATA, _END_STREAM if last else 0, stream, data[sent : sent + most])
            self._window_bytes -= most
            self._windows[stream] -= most
            sent += most
            self.sent_bytes += most
            with suppress(OSError):
                await self._writer.drain()

    async def reset(self, stream: int) -> None:
        """Takes a call back."""
        self._frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))
        self.ended.add(stream)
        self._windows.pop(stream, None)
        with suppress(OSError):
            await self._writer.drain()

    @property
    def open_calls(self) -> int:
        return len(self._windows)

    async def answered(self) -> None:
        """Waits until the server moves something."""
        self._moved.clear()
        await self._moved.wait()

    def _frame(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if not self.closed.is_set():
            self._writer.write(struct.pack(">I", len(body))[1:] + bytes((kind, flags)))
            self._writer.write(struct.pack(">I", stream) + body)

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                body = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:], "big"), body)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            self.stated.set()
            self._moved.set()

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._settings(dict(struct.iter_unpack(">HI", body)))
        elif kind == _PING and not flags & _ACK:
            self._frame(_PING, _ACK, 0, body)
        elif kind == _WINDOW_UPDATE and stream:
            if stream in self._windows:
                self._windows[stream] += int.from_bytes(body, "big")
        elif kind == _WINDOW_UPDATE:
            self._window_bytes += int.from_bytes(body, "big")
        elif kind == _RST_STREAM or (kind == _HEADERS and flags & _END_STREAM):
            self.ended.add(stream)
            self._windows.pop(stream, None)
        self._moved.set()

    def _settings(self, stated: dict[int, int]) -> None:
        if _INITIAL_WINDOW in stated:
            more = stated[_INITIAL_WINDOW] - self._initial_bytes
            self._initial_bytes += more
            for stream in self._windows:
                self._windows[stream] += more
        self.streams_max = stated.get(_STREAMS_MAX, self.streams_max)
        self.stated.set()
        self._frame(_SETTINGS, _ACK, 0, b"")

    async def aclose(self) -> None:
        self.heard.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@asynccontextmanager
async def wire(address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A connection that has seen the server's settings. Raises OSError when it is not let in."""
    host, _, port = address.rpartition(":")
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    writer.write(PREFACE + struct.pack(">I", 0)[1:] + bytes((_SETTINGS, 0)) + struct.pack(">I", 0))
    one = Wire(reader, writer)
    try:
        await one.stated.wait()
        yield one
    finally:
        await one.aclose()


def _text(value: str) -> bytes:
    """A literal of HPACK without Huffman's code."""
    data = value.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, size = len(data) - 127, bytearray((127,))
    while rest >= 128:
        size.append(rest % 128 + 128)
        rest //= 128
    size.append(rest)
    return bytes(size) + data
