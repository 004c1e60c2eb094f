"""Every request of every service that is served has bounds, and every list and map in it: a new field cannot forget."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from relay_server import limits
from relay_server.contract import bounds
from relay_server.contract.bounds import Entries, Place, Unbounded
from relay_server.contract.services import SERVICES as HTTP_SERVICES
from relay_server.rpc.server import SERVICES

_F = descriptor_pb2.FieldDescriptorProto


def _lists(descriptor: Any, path: str = "") -> Iterator[str]:
    """The paths of all lists and maps of a message: walked here in another way than there."""
    for field in descriptor.fields:
        here = f"{path}{field.name}"
        if field.is_repeated:
            yield here
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from _lists(field.message_type, f"{here}.")


def _bounded(place: Place | None, path: str = "") -> Iterator[str]:
    for field in place.all if place is not None else ():
        if field.entries is not None:
            yield f"{path}{field.name}"
        yield from _bounded(field.below, f"{path}{field.name}.")


def test_every_service_that_is_served_has_bounds() -> None:
    served = {service.full_name for service in bounds.SERVED}
    assert served == {*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME}
    assert {service.full_name for service in HTTP_SERVICES} <= served


@pytest.mark.parametrize("path", sorted(bounds.BY_METHOD))
def test_every_list_of_a_request_is_bounded(path: str) -> None:
    allowed = bounds.BY_METHOD[path]
    assert set(_bounded(allowed.place)) == set(_lists(allowed.message.DESCRIPTOR))
    assert allowed.bytes_max <= limits.MESSAGE_BYTES_MAX


def made(*fields: tuple[str, bool, str], **others: list[tuple[str, bool, str]]) -> Descriptor:
    """A message Ask with these fields, as (name, whether a list, type or "" for text), and other messages."""
    file = descriptor_pb2.FileDescriptorProto(name="made.proto", package="made", syntax="proto3")
    for name, its in (("Ask", list(fields)), *others.items()):
        message = file.message_type.add(name=name)
        for number, (field, many, kind) in enumerate(its, 1):
            message.field.add(
                name=field,
                number=number,
                type=_F.TYPE_MESSAGE if kind else _F.TYPE_STRING,
                type_name=f".made.{kind}" if kind else None,
                label=_F.LABEL_REPEATED if many else _F.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName("made.Ask")


@pytest.mark.parametrize(
    ("descriptor", "lists", "text"),
    [
        (made(("names", True, "")), {}, "no bound for names"),
        (made(("in_one", False, "Inner"), Inner=[("names", True, "")]), {}, "no bound for in_one.names"),
        (
            made(("many", True, "Inner"), Inner=[("names", True, "")]),
            {"many": Entries(1)},
            "no bound for many.names",
        ),
        (made(("self", False, "Ask")), {}, "self: a message that contains itself"),
        (made(("name", False, "")), {"names": Entries(1)}, "no list at names"),
        (made(("name", False, "")), {"name": Entries(1)}, "no list at name"),
    ],
)
def test_a_type_whose_bounds_do_not_fit_it_ends_the_start(
    descriptor: Descriptor, lists: dict[str, Entries], text: str
) -> None:
    with pytest.raises(Unbounded, match=text):
        bounds.bounds(descriptor, 1000, lists)


def test_a_request_that_is_not_in_the_table_ends_the_start() -> None:
    with pytest.raises(Unbounded, match=r"made\.Ask has no bounds"):
        bounds.of(made(("name", False, "")))
