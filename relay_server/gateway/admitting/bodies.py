"""Reads the body of a request, within a size and a time."""

import asyncio

from google.rpc import code_pb2
from starlette.requests import Request

from relay_server import errors
from relay_server.gateway.admitting.budget import Share
from relay_server.gateway.admitting.refusals import refused


async def read_body(
    request: Request, *, bytes_max: int, within_s: float, share: Share | None = None
) -> bytes:
    """The whole body, counted in `share`. Raises TooLarge, Overloaded, Refused (408) or ClientDisconnect."""
    try:
        async with asyncio.timeout(within_s):
            return await _read(request, bytes_max, share)
    except TimeoutError:
        text = f"the body did not arrive within {within_s:g} s"
        close = {"connection": "close"}  # else the server would go on reading the rest
        raise refused(408, code_pb2.DEADLINE_EXCEEDED, "SLOW_BODY", text, close) from None


async def _read(request: Request, bytes_max: int, share: Share | None) -> bytes:
    declared = request.headers.get("content-length", "0")
    raw = bytearray()
    if not declared.isdigit() or int(declared) <= bytes_max:
        async for part in request.stream():
            if share is not None:
                share.add(len(part))
            raw += part
            if len(raw) > bytes_max:
                break
        else:
            return bytes(raw)
    raise errors.TooLarge(f"the body has more than {bytes_max} bytes", metadata={"subject": "body"})
