"""A scripted server for the CLI: answers each RPC with what a test said, and records the requests."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from relay.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    dead_letter_service_pb2,
    dead_letter_service_pb2_grpc,
    queue_service_pb2,
    queue_service_pb2_grpc,
)

Answer = Callable[[Any], Any]


class Script:
    """`answers` by RPC name: from the request to a message, or to a list of them for a stream; it may raise Refuse."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.answers: dict[str, Answer] = {
            "GetServerInfo": lambda _: admin_service_pb2.GetServerInfoResponse(
                version="0.1.0", protocol_version=1
            )
        }

    def sent(self, name: str) -> list[Any]:
        return [request for called, request in self.requests if called == name]


class Refuse(Exception):
    """What the call ends with."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def _servicer(base: type, service: Any, script: Script) -> Any:
    def unary(name: str) -> Callable[..., Any]:
        def method(_: object, request: Any, context: grpc.ServicerContext) -> Any:
            return _answer(script, name, request, context)

        return method

    def stream(name: str) -> Callable[..., Any]:
        def method(_: object, request: Any, context: grpc.ServicerContext) -> Any:
            try:
                yield from _answer(script, name, request, context)
            except Refuse as refused:
                context.abort(refused.code, str(refused))

        return method

    methods = {
        each.name: stream(each.name) if each.server_streaming else unary(each.name)
        for each in service.methods
    }
    return type("Scripted", (base,), methods)()


def _answer(script: Script, name: str, request: Any, context: grpc.ServicerContext) -> Any:
    script.requests.append((name, request))
    if name not in script.answers:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the test says nothing about {name}")
    try:
        return script.answers[name](request)
    except Refuse as refused:
        context.abort(refused.code, str(refused))


@contextmanager
def serve(script: Script) -> Iterator[str]:
    """Runs the script on a free port and gives its address."""
    pool = futures.ThreadPoolExecutor(8, thread_name_prefix="fake-server")
    server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
    for module, generated, name in (
        (admin_service_pb2, admin_service_pb2_grpc, "AdminService"),
        (dead_letter_service_pb2, dead_letter_service_pb2_grpc, "DeadLetterService"),
        (queue_service_pb2, queue_service_pb2_grpc, "QueueService"),
    ):
        service = module.DESCRIPTOR.services_by_name[name]
        servicer = _servicer(getattr(generated, f"{name}Servicer"), service, script)
        getattr(generated, f"add_{name}Servicer_to_server")(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=0).wait()
        pool.shutdown()
