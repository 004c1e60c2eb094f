"""The table of routes, read from google.api.http in the descriptors of the services: it knows no RPC by name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from relay_server import errors
from relay_server.contract import bounds, status
from relay_server.contract.bounds import Bounds
from relay_server.gateway.admitting.refusals import Refused, refused
from relay_server.gateway.transcoding import sizes
from relay_server.gateway.transcoding.templates import BadPath, Template, parse_template


class BadRoute(ValueError):
    """A google.api.http option that cannot be served. The message names the method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An RPC: its path on the wire, its messages, how much its request may hold, and whether it answers with a stream.

    `json_bytes_max` and `json_values_max` bound the request's JSON; without the latter its payloads may be any JSON.
    """

    path: str
    descriptor: MethodDescriptor
    request: type[Message]
    response: type[Message]
    streams: bool
    bounds: Bounds
    json_bytes_max: int
    json_values_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One binding of an RPC. `body` and `response_body` are as in google.api.http: "", "*" or the name of a field."""

    verb: str
    template: Template
    body: str
    response_body: str
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The route of a request, and the values of its path."""

    route: Route
    variables: dict[str, str]


class Routes:
    """All routes of some services."""

    def __init__(
        self, services: Iterable[ServiceDescriptor], bounds_of: Callable[[Descriptor], Bounds] = bounds.of
    ) -> None:
        """Raises BadRoute, BadTemplate and Unbounded: the contract is wrong, and the server does not start."""
        methods = [method for service in services for method in service.methods]
        found = [route for method in methods for route in _routes(method, bounds_of)]
        self.all: tuple[Route, ...] = tuple(sorted(found, key=lambda route: route.template.rank))
        taken: dict[tuple[str, str], Route] = {}
        for route in self.all:
            other = taken.setdefault((route.verb, route.template.text), route)
            if other is not route:
                raise BadRoute(f"{route.method.path} and {other.method.path} have the same route")

    def find(self, verb: str, path: str) -> Match:
        """The route of a request; HEAD is served as GET unless that is a stream. Raises Refused: 404, 405 or 400."""
        allowed: set[str] = set()
        custom = ""
        for route in self.all:
            if custom and route.template.verb != custom:
                continue  # `q:pause` means the verb pause of q, not a queue named so
            try:
                variables = route.template.match(path)
            except BadPath as error:
                raise Refused(status.to_status(errors.InvalidField([("path", str(error))]))) from None
            if variables is None:
                continue
            custom = route.template.verb
            verbs = {route.verb, "HEAD"} if route.verb == "GET" and not route.method.streams else {route.verb}
            if verb in verbs:
                return Match(route=route, variables=variables)
            allowed |= verbs
        if not allowed:
            raise refused(
                404,
                code_pb2.NOT_FOUND,
                "UNKNOWN_ROUTE",
                f"nothing is at {path[:200]}; /openapi.json lists the routes",
            )
        allow = ", ".join(sorted(allowed))
        text = f"{verb} is not allowed here; use {allow}"
        raise refused(405, code_pb2.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", text, {"allow": allow})


def _routes(method: MethodDescriptor, bounds_of: Callable[[Descriptor], Bounds]) -> Iterator[Route]:
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    service = method.containing_service
    if method.client_streaming:
        raise BadRoute(f"{method.full_name}: a stream of requests cannot be sent over HTTP/JSON")
    limits = bounds_of(method.input_type)
    shape = Method(
        path=f"/{service.full_name}/{method.name}",
        descriptor=method,
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        streams=method.server_streaming,
        bounds=limits,
        json_bytes_max=sizes.bytes_max(limits),
        json_values_max=sizes.values_max(method.input_type, limits),
    )
    rule = options.Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        yield _route(shape, binding)


def _route(method: Method, rule: http_pb2.HttpRule) -> Route:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise BadRoute(f"{method.path}: its http option has no path")
    verb, text = (
        (rule.custom.kind, rule.custom.path) if kind == "custom" else (kind.upper(), getattr(rule, kind))
    )
    template = parse_template(text)
    request, response = method.descriptor.input_type, method.descriptor.output_type
    for name in template.variables:
        _check_variable(method, request, name)
    for name, message in ((rule.body, request), (rule.response_body, response)):
        if name not in {"", "*"} and name not in message.fields_by_name:
            raise BadRoute(f"{method.path}: {message.full_name} has no field {name}")
    return Route(
        verb=verb, template=template, body=rule.body, response_body=rule.response_body, method=method
    )


def _check_variable(method: Method, message: Descriptor, name: str) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        field = message.fields_by_name.get(parent)
        if field is None or field.message_type is None or field.is_repeated:
            raise BadRoute(f"{method.path}: {{{name}}} is no field of {message.full_name}")
        message = field.message_type
    field = message.fields_by_name.get(last)
    if field is None or field.is_repeated or field.type == FieldDescriptor.TYPE_MESSAGE:
        raise BadRoute(f"{method.path}: {{{name}}} is no single value of {message.full_name}")
