"""Around every handler: who calls and whether they may, errors as statuses, counts, the audit log."""

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from relay_server import errors
from relay_server.contract import status
from relay_server.rpc import reading
from relay_server.rpc.aborted import without_cycles
from relay_server.rpc.admission import Admission, CallBounds
from relay_server.rpc.floods import Floods
from relay_server.security.audit import is_audited
from relay_server.security.brake import network_of
from relay_server.security.gate import Gate, bearer_of, names_of
from relay_server.security.principals import ANYONE, Principal

_log = structlog.get_logger(__name__)

_OURS = ("/relay.v1.", "/externalscaler.")

# For health, which anyone may ask, and reflection, which tells no more than the contract: honest calls are quick.
_OPEN_BOUNDS = CallBounds(calls=1000, readers=8, message_within_s=5.0)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only
Context = grpc.aio.ServicerContext[Any, Any]


class CallObserver(Protocol):
    """Is called when a call ended."""

    def __call__(self, method: str, code: str, seconds: float) -> None: ...


@dataclass(slots=True)
class _Call:
    """A call while it runs. `request` is None until it was read, `last` until a frame was written."""

    method: str
    principal: Principal
    key: str = ""  # whose share of the server it takes
    request: Any = None
    last: Any = None


class _FrameNotingContext:
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

    def __init__(self, observe: CallObserver, gate: Gate, bounds: CallBounds) -> None:
        self._observe = observe
        self._gate = gate
        self._streams: dict[asyncio.Task[Any], tuple[Principal, str, Sequence[str]]] = {}
        self._refused: set[asyncio.Task[Any]] = set()
        self.running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._callers = Admission(bounds)
        self._open_to_all = Admission(_OPEN_BOUNDS)
        # A reflection stream may be silent for long, so it has places of its own and takes none from other calls.
        self._dialogues = Admission(replace(_OPEN_BOUNDS, message_within_s=bounds.message_within_s))
        self._handlers: dict[str, Handler] = {}
        self._floods = Floods()

    def stop(self) -> None:
        """Refuses at once from now on, and ends delays: they must not hold up the server's end."""
        self._floods.end()

    def pace(self, peer: str) -> float:
        """Seconds until a call on this connection may begin; 0: now."""
        return self._floods.pace(peer, lambda one: network_of(self._gate.peers.address(one, ())))

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
        method = handler_call_details.method
        known = self._handlers.get(method)
        if known is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # not kept: callers may make up as many methods as they like
                return None
            known = self._handlers[method] = self._wrap(method, handler)
        return known

    def _wrap(self, method: str, handler: Handler) -> Handler:
        """The handler that gRPC is given. It always takes a stream of requests, which is the same on the wire: for a
        single request gRPC would read the whole message before we know who sends it. It also takes bytes: gRPC would
        answer a request that is no message with UNKNOWN and the words of the decoder.
        """
        encode = _encoded(handler.response_serializer)
        if handler.unary_unary is not None:
            call = self._unary(method, handler.unary_unary)
            return grpc.stream_unary_rpc_method_handler(without_cycles(call), response_serializer=encode)
        if handler.unary_stream is not None:
            # Handlers must write their frames, because only `write` is noted.
            assert not inspect.isasyncgenfunction(handler.unary_stream), method
            call = self._stream(method, handler.unary_stream)
            return grpc.stream_stream_rpc_method_handler(without_cycles(call), response_serializer=encode)
        assert handler.stream_stream is not None, method  # reflection
        dialogue = self._dialogue(method, handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(without_cycles(dialogue), response_serializer=encode)

    def _unary(self, method: str, handle: Any) -> Any:
        admission = self._admission(method)

        async def wrapped(_requests: Any, context: Context) -> Any:
            async with self._edge(method, context, unary=True) as call:
                with admission.call(call.key):
                    message = self._read_and_authorise(call, await _only(admission, call, context))
                    return await handle(message, context)

        return wrapped

    def _stream(self, method: str, handle: Any) -> Any:
        admission, audited = self._admission(method), is_audited(method)

        async def wrapped(_requests: Any, context: Context) -> Any:
            async with self._edge(method, context) as call:
                with admission.call(call.key):
                    message = self._read_and_authorise(call, await _only(admission, call, context))
                try:
                    with self._open(call, context):
                        return await handle(
                            message, _FrameNotingContext(call, context) if audited else context
                        )
                except errors.Overloaded:
                    await self._floods.stream_refused(call.key)
                    raise

        return wrapped

    def _dialogue(self, method: str, handle: Any) -> Any:
        """Reflection: open to every caller with a token, because it tells only the contract, which is public."""
        admission = self._dialogues

        async def wrapped(_requests: Any, context: Context) -> Any:
            async with self._edge(method, context) as call:
                with self._open(call, context), admission.call(call.key):

                    async def messages() -> AsyncIterator[bytes]:
                        while (request := await admission.read(call.key, context)) is not None:
                            yield request

                    async for response in handle(reading.each(method, messages()), context):
                        yield response

        return wrapped

    def _admission(self, method: str) -> Admission:
        return self._callers if method.startswith(_OURS) else self._open_to_all

    def _read_and_authorise(self, call: _Call, request: bytes) -> Any:
        call.request = reading.read(call.method, request)
        self._gate.authorise(call.principal, call.method, call.request)
        return call.request

    @contextmanager
    def _open(self, call: _Call, context: Context) -> Iterator[None]:
        """Follows a stream while it is open, since its token may be revoked meanwhile."""
        task = asyncio.current_task()
        if call.principal is ANYONE or task is None:
            yield
            return
        with self._gate.stream_of(call.principal, call.method, call.request):
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
    async def _edge(self, method: str, context: Context, *, unary: bool = False) -> AsyncIterator[_Call]:
        started, code = time.perf_counter(), "OK"
        ours = method.startswith(_OURS)
        self.running += ours
        if ours:
            self._idle.clear()
        call = _Call(method, ANYONE)
        try:
            self._identify(call, context)
            yield call
        except grpc.aio.BaseError:
            code = "CANCELLED"  # the client left while a frame was being written
            raise
        except Exception as error:  # noqa: BLE001 - every error is answered with a status
            rich = _coded(error, method)
            code = next(c.name for c in grpc.StatusCode if c.value[0] == rich.code)
            if call.principal is ANYONE and isinstance(error, errors.Unauthenticated):
                await self._floods.refused(context.peer(), self._address(context))
            await context.abort_with_status(rpc_status.to_status(rich))
        except BaseException:
            code = "CANCELLED"
            raise
        finally:
            self._ended(call, context, code, time.perf_counter() - started, ours=ours, unary=unary)

    def _identify(self, call: _Call, context: Context) -> None:
        metadata = context.invocation_metadata() or ()
        call.principal = self._gate.authenticate(call.method, metadata, self._names(context))
        if call.principal is ANYONE:
            call.key = network_of(self._address(context))
        else:
            call.key = call.principal.name
            self._floods.known(context.peer())
        self._gate.count(call.principal)

    def _ended(
        self, call: _Call, context: Context, code: str, seconds: float, *, ours: bool, unary: bool
    ) -> None:
        self.running -= ours
        if not self.running:
            self._idle.set()
        if unary and code == "CANCELLED":
            self._floods.cancelled(context.peer())
        self._observe(call.method, code, seconds)
        self._gate.audit.ended(
            call.method, call.principal, call.request, call.last, code, peer=lambda: self._address(context)
        )


async def _only(admission: Admission, call: _Call, context: Context) -> bytes:
    """The message of a call that has one."""
    request = await admission.read(call.key, context)
    if request is None:
        raise errors.InvalidField([("request", "is missing: this call takes one message")])
    return request


def _encoded(encode: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """A handler may also write bytes that it serialized itself, once for many callers."""
    if encode is None:
        return None
    return lambda response: response if isinstance(response, bytes) else encode(response)


def _coded(error: Exception, method: str) -> status_pb2.Status:
    if isinstance(error, errors.RelayError):
        return status.to_status(error)
    request_id = secrets.token_hex(8)
    _log.error("internal_error", method=method, request_id=request_id, exc_info=error)
    return status.internal_status(request_id)
