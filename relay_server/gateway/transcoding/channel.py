"""Calls the server through its own gRPC interface, so that checks, errors and metrics are those of every caller."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status
from starlette.requests import Request

from relay_server import errors, limits
from relay_server.contract import status
from relay_server.gateway.transcoding.routes import Method

# Headers that go on as metadata.
PASSED_ON = ("traceparent", "tracestate")

_OPTIONS = (
    ("grpc.max_send_message_length", -1),  # the server refuses a larger one, with its own text
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", limits.METADATA_BYTES_MAX),
    ("grpc.enable_retries", 0),  # the client decides whether to repeat
    ("grpc.use_local_subchannel_pool", 1),
    # A growing window would hold some MiB for each slow reader.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 64 << 10),
)
_CALLS_PER_CONNECTION = 100  # the lowest value of --connection-calls-max
_ASCII = re.compile(r"[\x20-\x7e]{1,2000}")
_RETRY_MS = 1000


class Calls:
    """Sends and receives serialized messages, on as many connections as the calls need.

    A connection carries a bounded number of calls. When all are full another one is opened, because a call would
    otherwise wait for streams to end, which may take hours.
    """

    def __init__(self, address: str, methods: Iterable[Method]) -> None:
        self._address = address
        self._methods = tuple(methods)
        self._ways: list[_Way] = []

    def __call__(
        self, method: Method, request: bytes, metadata: list[tuple[str, str]], timeout_s: float | None
    ) -> Any:
        """The call: awaited for its answer, or iterated for its stream. Ends with grpc.aio.AioRpcError."""
        way = next((way for way in self._ways if way.running < _CALLS_PER_CONNECTION), None)
        if way is None:
            way = _Way(self._address, self._methods)
            self._ways.append(way)
        return way.call(method, request, metadata, timeout_s)

    async def aclose(self) -> None:
        await asyncio.gather(*(way.channel.close() for way in self._ways))


class _Way:
    """One connection, and how many calls it carries."""

    def __init__(self, address: str, methods: Iterable[Method]) -> None:
        self.running = 0
        self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._calls: dict[str, Any] = {
            method.path: self.channel.unary_stream(method.path)
            if method.streams
            else self.channel.unary_unary(method.path)
            for method in methods
        }

    def call(
        self, method: Method, request: bytes, metadata: list[tuple[str, str]], timeout_s: float | None
    ) -> Any:
        call = self._calls[method.path](request, metadata=metadata, timeout=timeout_s)
        self.running += 1
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _call: Any) -> None:
        self.running -= 1


def metadata_of(request: Request) -> list[tuple[str, str]]:
    """The headers that go on as metadata, credentials apart, without values that gRPC does not carry."""
    found = [(name, request.headers.get(name, "")) for name in PASSED_ON]
    return [(name, value) for name, value in found if _ASCII.fullmatch(value)]


def status_of(error: grpc.aio.AioRpcError, timeout_s: float | None) -> status_pb2.Status:
    """The status that a call ended with: the server's own, or one that stands for gRPC's code."""
    rich = rpc_status.from_call(error)  # type: ignore[arg-type]
    if rich is not None:
        return rich
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:  # the server takes no more calls
        return status.to_status(errors.Draining(retry_after_ms=_RETRY_MS))
    if code is grpc.StatusCode.CANCELLED:  # the server ended it; a caller that left gets no answer
        return status.to_status(errors.Overloaded(retry_after_ms=_RETRY_MS))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = (
            f"the call took longer than {timeout_s:g} s; whether it was done is not known"
            if timeout_s
            else ""
        )
        return status_pb2.Status(code=code_pb2.DEADLINE_EXCEEDED, message=text or str(error.details()))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return status.to_status(errors.TooLarge(f"the request or its answer is too large: {error.details()}"))
    return status_pb2.Status(code=code.value[0], message=error.details() or code.name)
