"""Turns whatever a service raises into a status a caller may see, and counts calls."""

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status

from relay_server import errors
from relay_server.rpc import status

_log = structlog.get_logger(__name__)

_OURS = ("/relay.v1.", "/externalscaler.")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only
Context = grpc.aio.ServicerContext[Any, Any]


class CallObserver(Protocol):
    """Hears how each call ended."""

    def __call__(self, method: str, code: str, seconds: float) -> None: ...


class EdgeInterceptor(grpc.aio.ServerInterceptor):
    """One layer around every handler: errors and counts. Without it gRPC sends the exception's text to the caller."""

    def __init__(self, observe: CallObserver) -> None:
        self._observe = observe
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Waits until no handler of Relay's own services runs. Those of health last as long as their clients like."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, decode = handler_call_details.method, handler.request_deserializer
        # Requests are decoded in here: gRPC answers one that is no message with UNKNOWN and the decoder's own words.
        codecs: Any = {"request_deserializer": None, "response_serializer": handler.response_serializer}
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._call(method, decode, handler.unary_unary), **codecs
            )
        if handler.unary_stream is not None:
            generator = inspect.isasyncgenfunction(handler.unary_stream)
            wrap = self._generator if generator else self._call
            return grpc.unary_stream_rpc_method_handler(wrap(method, decode, handler.unary_stream), **codecs)
        return handler  # reflection's bidirectional stream

    def _call(self, method: str, decode: Any, call: Any) -> Any:
        async def wrapped(request: bytes, context: Context) -> Any:
            async with self._edge(method, context):
                return await call(_decoded(decode, request), context)

        return wrapped

    def _generator(self, method: str, decode: Any, call: Any) -> Any:
        async def wrapped(request: bytes, context: Context) -> Any:
            async with self._edge(method, context):
                async for response in call(_decoded(decode, request), context):
                    yield response

        return wrapped

    @asynccontextmanager
    async def _edge(self, method: str, context: Context) -> AsyncIterator[None]:
        started, code = time.perf_counter(), "OK"
        ours = method.startswith(_OURS)
        self._running += ours
        if ours:
            self._idle.clear()
        try:
            yield
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError) or _is_broken_write(error):
                code = "CANCELLED"  # the client left while a frame was being written
                raise
            rich = _coded(error, method)
            code = next(c.name for c in grpc.StatusCode if c.value[0] == rich.code)
            await context.abort_with_status(rpc_status.to_status(rich))
        except BaseException:
            code = "CANCELLED"
            raise
        finally:
            self._running -= ours
            if not self._running:
                self._idle.set()
            self._observe(method, code, time.perf_counter() - started)


def _decoded(decode: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return decode(request)
    except DecodeError:
        text = "is not a message of this call's type: check the client's version of the contract"
        raise errors.InvalidField([("request", text)]) from None


def _coded(error: Exception, method: str) -> status_pb2.Status:
    if isinstance(error, errors.RelayError):
        return status.to_status(error)
    request_id = secrets.token_hex(8)
    _log.error("internal_error", method=method, request_id=request_id, exc_info=error)
    return status.internal_status(request_id)


def _is_broken_write(error: Exception) -> bool:
    return type(error).__name__ == "ExecuteBatchError"
