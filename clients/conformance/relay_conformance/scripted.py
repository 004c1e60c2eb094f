"""A scripted server: a real gRPC server on a socket whose script answers, refuses or streams to each call.

It runs on threads: gRPC's asyncio stack allows one event loop a process, and the client under test may need it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from relay.v1 import queue_service_pb2

QUEUE_SERVICE: ServiceDescriptor = queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"]
DETAILS = "grpc-status-details-bin"
_THREADS = 64
_METHOD_HANDLERS = {False: grpc.unary_unary_rpc_method_handler, True: grpc.unary_stream_rpc_method_handler}


class Refuse(Exception):
    """A script raises it to end the call with this status; `details` are messages of google.rpc."""

    def __init__(self, code: grpc.StatusCode, message: str = "scripted", *details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def status(self) -> Any:
        """The google.rpc.Status that travels beside code and message."""
        number: int = self.code.value[0]
        made = status_pb2.Status(code=number, message=self.message)
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            made.details.append(packed)
        return made

    def end(self, context: grpc.ServicerContext) -> NoReturn:
        """Ends the call."""
        if self.details:
            context.set_trailing_metadata(((DETAILS, self.status.SerializeToString()),))
        context.abort(self.code, self.message)
        raise self


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a client. `at` is in seconds of the monotonic clock."""

    rpc: str
    request: Any
    context: grpc.ServicerContext
    metadata: Mapping[str, str]
    at: float = field(default_factory=time.monotonic)

    def when_ended(self, then: Callable[[], Any]) -> None:
        """Runs `then` once the call is over, whichever side ended it."""
        if not self.context.add_callback(then):
            then()


@dataclass(slots=True, eq=False)
class Stream:
    """The answer to a call of a streaming RPC: the frames that are sent on it, until it is ended."""

    call: Call
    closed: threading.Event = field(default_factory=threading.Event)
    _frames: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.call.when_ended(self._close)

    def send(self, frame: Message) -> None:
        """Sends a frame after those before it."""
        self._frames.put(frame)

    def end(self, refusal: Refuse | None = None) -> None:
        """Ends the stream after the frames before it, as a success or with this status."""
        self._frames.put(refusal)

    @property
    def drained(self) -> bool:
        """Whether gRPC took all frames over."""
        return self._frames.empty()

    def __iter__(self) -> Iterator[Message]:
        return self.frames(None, lambda: None)

    def frames(self, idle_s: float | None, when_idle: Callable[[], Message | None]) -> Iterator[Message]:
        """What the client gets; after `idle_s` without a frame, the one of `when_idle`."""
        while True:
            try:
                frame = self._frames.get(timeout=idle_s)
            except queue.Empty:
                if (frame := when_idle()) is None:
                    continue
            if frame is None:
                return
            if isinstance(frame, Refuse):
                raise frame
            yield frame

    def _close(self) -> None:
        self.closed.set()
        self.end()


class ScriptedServer:
    """Notes each call in `calls` and answers it with `answer`; it can be stopped and started again."""

    def __init__(
        self,
        *,
        services: Sequence[ServiceDescriptor] = (QUEUE_SERVICE,),
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.calls: list[Call] = []
        self._services = services
        self._options = [("grpc.so_reuseport", 0), *options]
        self._running: tuple[grpc.Server, ThreadPoolExecutor] | None = None

    def answer(self, call: Call) -> Any:
        """The script: a message, for a streaming RPC an iterable of them; it may wait, or raise Refuse."""
        raise Refuse(grpc.StatusCode.UNIMPLEMENTED, f"no script for {call.rpc}")

    def start(self, address: str = "127.0.0.1:0") -> str:
        """Begins to listen, and returns the address, with the port that was chosen for port 0."""
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="scripted")
        server = grpc.server(threads, options=self._options)
        server.add_generic_rpc_handlers([self._handler(service) for service in self._services])
        port = server.add_insecure_port(address)
        server.start()
        self._running = server, threads
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def stop(self) -> None:
        """Ends all calls and connections at once, and waits for the script."""
        if self._running is not None:
            (server, threads), self._running = self._running, None
            server.stop(0).wait()
            threads.shutdown()

    @contextmanager
    def serving(self, address: str = "127.0.0.1:0") -> Iterator[str]:
        """Listens for one block; gives the address."""
        try:
            yield self.start(address)
        finally:
            self.stop()

    def requests(self, *rpcs: str) -> list[Any]:
        """What was asked of these RPCs, in order; of all when none is named."""
        return [call.request for call in list(self.calls) if not rpcs or call.rpc in rpcs]

    def _handler(self, service: ServiceDescriptor) -> grpc.GenericRpcHandler:
        handlers = {method.name: self._method_handler(method) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _method_handler(self, method: MethodDescriptor) -> Any:
        def called(request: Any, context: grpc.ServicerContext) -> Any:
            metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
            call = Call(method.name, request, context, metadata)
            self.calls.append(call)
            return self.answer(call)

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return called(request, context)
            except Refuse as refusal:
                refusal.end(context)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from called(request, context)
            except Refuse as refusal:
                refusal.end(context)

        streams = method.server_streaming
        return _METHOD_HANDLERS[streams](
            stream if streams else unary,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
