"""Writes the answers of a server stream as SSE or NDJSON, and ends the call when the client leaves.

Nothing is gathered here: a frame is read from the call when the one before it was taken by the connection, so a slow
reader slows its own call and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.rpc import status_pb2
from starlette.types import Receive, Send

from relay_server import errors
from relay_server.contract.status import to_status
from relay_server.gateway.admitting.negotiation import JSON, NDJSON, SSE
from relay_server.gateway.admitting.refusals import Refused, compact, status_json

RETRY_MS = 1000

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx holds answers back otherwise
)


@dataclass(frozen=True, slots=True)
class Sse:
    """Server-sent events. The id counts frames. A stream that was cut off has neither the event `error` nor `end`."""

    media_type: str = SSE
    opening: bytes = b"retry: %d\n\n" % RETRY_MS
    heartbeat: bytes = b": keep-alive\n\n"
    end: bytes = b"event: end\ndata: {}\n\n"

    def frame(self, number: int, data: bytes) -> bytes:
        return b"id: %d\ndata: %b\n\n" % (number, data)

    def error(self, status: status_pb2.Status) -> bytes:
        return b"event: error\ndata: %b\n\n" % compact(status_json(status))


@dataclass(frozen=True, slots=True)
class Ndjson:
    """One JSON object a line. A last line {"error": …} means that the stream failed."""

    media_type: str = NDJSON
    opening: bytes = b""
    heartbeat: bytes = b""
    end: bytes = b""

    def frame(self, number: int, data: bytes) -> bytes:
        return data + b"\n"

    def error(self, status: status_pb2.Status) -> bytes:
        return compact({"error": status_json(status)}) + b"\n"


Framing: TypeAlias = Ndjson | Sse
# By media type in Accept, the default first. `curl --json` accepts only JSON and gets one object a line.
FRAMINGS: dict[str, Framing] = {NDJSON: Ndjson(), SSE: Sse(), JSON: Ndjson()}


async def stream(
    call: Any,
    framing: Framing,
    *,
    shown: Callable[[bytes], bytes],
    status_of: Callable[[grpc.aio.AioRpcError], status_pb2.Status],
    heartbeat_s: float,
    holding: Callable[[int], AbstractContextManager[object]],
    receive: Receive,
    send: Send,
) -> None:
    """Passes a call's stream on until it ends or the client leaves, which cancels it.

    Raises Refused when the call fails before its first frame: then nothing was sent, and the answer may be plain.
    `holding` counts a frame until it was taken; what it raises ends the stream.
    """
    left = asyncio.create_task(_until_left(receive), name="http-stream")
    left.add_done_callback(lambda _: call.cancel())
    frames, begun = _frames(call, heartbeat_s), False
    try:
        number = 0
        async for raw in frames:
            if not begun:
                begun = True
                await _begin(framing, send)
            if raw is not None:
                number += 1
            part = framing.heartbeat if raw is None else framing.frame(number, shown(raw))
            if part:
                with holding(len(part)):
                    await _more(send, part)
        last = framing.end
    except grpc.aio.AioRpcError as error:
        status = status_of(error)
        if not begun and not _gone(left):
            raise Refused(status) from None
        last = framing.error(status)
    except errors.RelayError as error:
        last = framing.error(to_status(error))
    except asyncio.CancelledError:  # the client left, so the read was cancelled
        if not _gone(left):
            raise
        last = b""
    finally:
        gone = _gone(left)
        left.cancel()
        call.cancel()
        await frames.aclose()
    if gone:
        return
    if not begun:
        await _begin(framing, send)
    await send({"type": "http.response.body", "body": last, "more_body": False})


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _gone(left: "asyncio.Task[None]") -> bool:
    return left.done() and not left.cancelled()


async def _frames(call: Any, heartbeat_s: float) -> AsyncGenerator[bytes | None]:
    """The messages of the call, and None after each silence of `heartbeat_s`."""
    reading: asyncio.Task[Any] | None = None
    try:
        while True:
            reading = reading or asyncio.ensure_future(call.read())
            done, _ = await asyncio.wait({reading}, timeout=heartbeat_s)
            if not done:
                yield None
                continue
            raw, reading = reading.result(), None
            if raw is grpc.aio.EOF:
                return
            yield raw
    finally:
        if reading is not None:
            reading.cancel()


async def _begin(framing: Framing, send: Send) -> None:
    content_type = (b"content-type", framing.media_type.encode())
    await send({"type": "http.response.start", "status": 200, "headers": [content_type, *_HEADERS]})
    if framing.opening:
        await _more(send, framing.opening)


async def _more(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})
