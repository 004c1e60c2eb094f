"""The table of permissions knows every RPC and every queue that a request can name (I18)."""

from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from relay_server import errors
from relay_server.rpc.server import SERVICES
from relay_server.security.gate import Gate, PrincipalLimits
from relay_server.security.permissions import RULES
from relay_server.security.principals import Principal, Role

METHODS: dict[str, MethodDescriptor] = {
    f"/{service}/{method.name}": method
    for service in SERVICES
    for method in descriptor_pool.Default().FindServiceByName(service).methods
}


def test_every_rpc_is_in_the_table_and_nothing_else() -> None:
    assert RULES.keys() == METHODS.keys()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_queue_of_a_request_is_checked(method: str) -> None:
    request = message_factory.GetMessageClass(METHODS[method].input_type)()
    named = _name_queues(request)
    assert set(RULES[method].queues(request)) == set(named)


def _name_queues(message: Any, path: str = "q") -> list[str]:
    """Puts another name into every field that holds a queue's."""
    named: list[str] = []
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}"
        if field.name == "queue" and field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, here)
            named.append(here)
        elif field.name == "scalerMetadata":
            message.scalerMetadata["queue"] = here
            named.append(here)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            if field.message_type.file.package.startswith("google."):
                continue
            for n in range(2 if field.is_repeated else 1):
                child: Message = (
                    getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)
                )
                named += _name_queues(child, f"{here}{n}")
    return named


def test_a_principal_without_the_role_is_refused_before_the_request_is_walked() -> None:
    """A Claim may name ten thousand queues."""

    class Unwalked:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was looked at")

    viewer = Principal("v", {Role.VIEWER: ("*",)})
    gate = Gate(None, PrincipalLimits(streams=1, calls_per_s=0))
    for method in METHODS:
        if RULES[method].role is not Role.VIEWER:
            with pytest.raises(errors.PermissionDenied):
                gate.authorise(viewer, method, Unwalked())
