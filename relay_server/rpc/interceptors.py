"""Around every handler: who calls and whether they may, errors as statuses, counts, the audit log."""

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from relay_server import errors
from relay_server.rpc import reading, status
from relay_server.rpc.aborted import without_cycles
from relay_server.security.audit import is_audited
from relay_server.security.gate import Gate, bearer_of, names_of
from relay_server.security.principals import ANYONE, Principal

_log = structlog.get_logger(__name__)

_OURS = ("/relay.v1.", "/externalscaler.")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only
Context = grpc.aio.ServicerContext[Any, Any]


class CallObserver(Protocol):
    """Hears how each call ended."""

    def __call__(self, method: str, code: str, seconds: float) -> None: ...


@dataclass(slots=True)
class _Call:
    """What is known of a call while it runs. `request` is None until it was read, `last` until it gave a frame."""

    method: str
    principal: Principal
    request: Any = None
    last: Any = None


class _Noted:
    """The context of a call, which notes the last frame that was written."""

    def __init__(self, call: _Call, context: Context) -> None:
        self._call = call
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, frame: Any) -> None:
        self._call.last = frame
        await self._context.write(frame)


class EdgeInterceptor(grpc.aio.ServerInterceptor):
    """One layer around every handler. Without it gRPC sends the exception's text to the caller."""

    def __init__(self, observe: CallObserver, gate: Gate) -> None:
        self._observe = observe
        self._gate = gate
        self._streams: dict[asyncio.Task[Any], tuple[Principal, str, Sequence[str]]] = {}
        self._refused: set[asyncio.Task[Any]] = set()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Waits until no handler of Relay's own services runs. Those of health last as long as their clients like."""
        await self._idle.wait()

    def end_refused_streams(self) -> None:
        """Ends the streams whose token is no longer valid, or no longer gives the same roles."""
        for task, (principal, token, names) in list(self._streams.items()):
            if not self._gate.still(principal, token, names):
                self._refused.add(task)
                task.cancel()

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        # Requests are read in here: gRPC answers one that is no message with UNKNOWN and the decoder's own words.
        codecs: Any = {"request_deserializer": None, "response_serializer": handler.response_serializer}
        if handler.unary_unary is not None:
            call = self._unary(method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(without_cycles(call), **codecs)
        if handler.unary_stream is not None:
            # Handlers write their frames: one that yielded them would not be noted.
            assert not inspect.isasyncgenfunction(handler.unary_stream), method
            call = self._stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(without_cycles(call), **codecs)
        if handler.stream_stream is not None:  # reflection
            dialogue = self._dialogue(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(without_cycles(dialogue), **codecs)
        return handler

    def _unary(self, method: str, handle: Any) -> Any:
        async def wrapped(request: bytes, context: Context) -> Any:
            async with self._edge(method, context) as call:
                return await handle(self._admitted(call, request), context)

        return wrapped

    def _stream(self, method: str, handle: Any) -> Any:
        noted = is_audited(method)

        async def wrapped(request: bytes, context: Context) -> Any:
            async with self._edge(method, context) as call:
                message = self._admitted(call, request)
                with self._open(call, context):
                    return await handle(message, _Noted(call, context) if noted else context)

        return wrapped

    def _dialogue(self, method: str, handle: Any) -> Any:
        """Open to whoever has a token at all: it tells the contract, which is public, and no names."""

        async def wrapped(requests: Any, context: Context) -> Any:
            async with self._edge(method, context) as call:
                with self._open(call, context):
                    async for response in handle(reading.each(method, requests), context):
                        yield response

        return wrapped

    def _admitted(self, call: _Call, request: bytes) -> Any:
        call.request = reading.read(call.method, request)
        self._gate.authorise(call.principal, call.method, call.request)
        return call.request

    @contextmanager
    def _open(self, call: _Call, context: Context) -> Iterator[None]:
        """A stream outlives the moment it was let in; its token may not."""
        task = asyncio.current_task()
        if call.principal is ANYONE or task is None:
            yield
            return
        with self._gate.stream_of(call.principal):
            token = bearer_of(context.invocation_metadata() or ())
            self._streams[task] = call.principal, token, self._names(context)
            try:
                yield
            except asyncio.CancelledError:
                if task not in self._refused:
                    raise
                task.uncancel()
                text = "this token was revoked, has expired, or has other roles now"
                raise errors.Unauthenticated(text) from None
            finally:
                del self._streams[task]
                self._refused.discard(task)

    def _names(self, context: Context) -> Sequence[str]:
        return names_of(context.auth_context()) if self._gate.reads_certificates else ()

    def _address(self, context: Context) -> str:
        return self._gate.peers.address(context.peer(), context.invocation_metadata() or ())

    @asynccontextmanager
    async def _edge(self, method: str, context: Context) -> AsyncIterator[_Call]:
        started, code = time.perf_counter(), "OK"
        ours = method.startswith(_OURS)
        self._running += ours
        if ours:
            self._idle.clear()
        call = _Call(method, ANYONE)
        try:
            metadata = context.invocation_metadata() or ()
            call.principal = self._gate.authenticate(method, metadata, self._names(context))
            self._gate.count(call.principal)
            yield call
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
            self._gate.audit.ended(
                method, call.principal, call.request, call.last, code, peer=lambda: self._address(context)
            )


def _coded(error: Exception, method: str) -> status_pb2.Status:
    if isinstance(error, errors.RelayError):
        return status.to_status(error)
    request_id = secrets.token_hex(8)
    _log.error("internal_error", method=method, request_id=request_id, exc_info=error)
    return status.internal_status(request_id)


def _is_broken_write(error: Exception) -> bool:
    return type(error).__name__ == "ExecuteBatchError"
