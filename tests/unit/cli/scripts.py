"""The script of the command line's tests: each RPC is answered as the test says, by its name."""

from collections.abc import Callable
from typing import Any

from relay.v1 import admin_service_pb2, dead_letter_service_pb2
from relay_conformance.scripted import QUEUE_SERVICE, Call, ScriptedServer

Answer = Callable[[Any], Any]


class Script(ScriptedServer):
    """`answers` by RPC name: from the request to a message, or to several for a stream; they may raise Refuse."""

    def __init__(self) -> None:
        super().__init__(
            services=[
                admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
                dead_letter_service_pb2.DESCRIPTOR.services_by_name["DeadLetterService"],
                QUEUE_SERVICE,
            ]
        )
        self.answers: dict[str, Answer] = {
            "GetServerInfo": lambda _: admin_service_pb2.GetServerInfoResponse(
                version="0.1.0", protocol_version=1
            )
        }

    def answer(self, call: Call) -> Any:
        answer = self.answers.get(call.rpc)
        return answer(call.request) if answer else super().answer(call)
