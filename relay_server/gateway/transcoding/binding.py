"""Makes the request message of an RPC from the values of the path, the query and the body."""

from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from relay_server import errors
from relay_server.contract.violations import Violations
from relay_server.gateway.transcoding.fields import Text, field_of, fill, kind
from relay_server.gateway.transcoding.routes import Match, Route

QUERY_FIELDS_MAX = 100

NO_BODY: Final[Any] = object()  # null would be a body, and a wrong one

Fields = dict[str, Any]


def request_of(match: Match, query: bytes, body: Any = NO_BODY, *, idempotency_key: str = "") -> Message:
    """The request; `body` is the JSON value of the body. Raises InvalidField."""
    route, problems = match.route, Violations()
    descriptor: Descriptor = route.method.descriptor.input_type
    fields = _body_fields(route, body, problems)
    for name, text in _query(query):
        _put_query(descriptor, route, fields, name, text, problems)
    for path, text in match.variables.items():
        _put_variable(fields, path, text, problems)
    if idempotency_key:
        _put_key(descriptor, fields, idempotency_key, problems)
    message = route.method.request()
    fill(message, route.method.bounds.place, fields, "", problems)
    problems.done()
    return message


def takes_key(descriptor: Descriptor) -> str:
    """The field that the Idempotency-Key header sets: request_id, or an idempotency_key one level down; or ""."""
    if "request_id" in descriptor.fields_by_name:
        return "request_id"
    for field in descriptor.fields:
        inner = field.message_type
        if inner is not None and not field.is_repeated and "idempotency_key" in inner.fields_by_name:
            return f"{field.name}.idempotency_key"
    return ""


def _body_fields(route: Route, body: Any, problems: Violations) -> Fields:
    if body is NO_BODY:
        return {}
    if not route.body:
        problems.add("body", "must be empty: this call takes its fields from the path and the query")
        return {}
    if route.body != "*":
        return {route.body: body}
    if not isinstance(body, dict):
        problems.add("body", f"must be an object, is {kind(body)}")
        return {}
    return dict(body)


def _query(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
        )
    except UnicodeDecodeError:
        text = "is not UTF-8 once its escapes are read, or has characters that must be escaped"
    except ValueError:
        text = f"has more than {QUERY_FIELDS_MAX} parameters"
    raise errors.InvalidField([("query", text)])


def _put_query(
    descriptor: Descriptor, route: Route, fields: Fields, path: str, text: str, problems: Violations
) -> None:
    """Puts one parameter, such as filter.error_type=Timeout, where it belongs."""
    first, *rest = path.split(".")
    field = field_of(descriptor, first)
    if field is not None and route.body in {"*", field.name}:
        problems.add(path, "belongs in the body")
        return
    for name in rest:
        if field is None or not _has_fields(field):
            break
        fields = fields.setdefault(field.name, {})
        field = field_of(_below(field), name)
    else:
        if field is not None:
            _put_parameter(field, route, fields, path, text, problems)
            return
    problems.add(path, f"is not a field of {route.method.descriptor.input_type.name}")


def _put_parameter(
    field: FieldDescriptor, route: Route, fields: Fields, path: str, text: str, problems: Violations
) -> None:
    if field.name in route.template.variables and "." not in path:
        problems.add(path, "is given by the path")
    elif field.message_type is not None and (field.is_repeated or _has_fields(field)):
        problems.add(path, "cannot be given in the query")
    elif field.is_repeated:
        fields.setdefault(field.name, []).append(Text(text))
    elif field.name in fields:
        problems.add(path, "is given twice")
    else:
        fields[field.name] = Text(text)


def _has_fields(field: FieldDescriptor) -> bool:
    """Whether a path can name fields below it. Not below Timestamp and its like: they are one JSON value."""
    inner = field.message_type
    return inner is not None and not field.is_repeated and not inner.full_name.startswith("google.protobuf.")


def _below(field: FieldDescriptor) -> Any:
    return field.message_type


def _put_variable(fields: Fields, path: str, text: str, problems: Violations) -> None:
    """Sets a field from the path. Clients that send whole messages repeat it in the body; the values must be equal."""
    *parents, last = path.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
    for name in (last, camel(last)):
        if fields.pop(name, None) not in (None, "", text):
            problems.add(path, f"is {text[:80]!r} in the path and something else in the body")
    fields[last] = Text(text)


def _put_key(descriptor: Descriptor, fields: Fields, key: str, problems: Violations) -> None:
    path = takes_key(descriptor)
    if not path:
        return
    *parents, last = path.split(".")
    for parent in parents:
        inner = fields.get(parent)
        if not isinstance(inner, dict):
            return  # `fill` reports it
        fields[parent] = fields = dict(inner)
    for name in (last, camel(last)):
        if fields.pop(name, None) not in (None, "", key):
            problems.add(path, "is another one in the Idempotency-Key header")
    fields[last] = key


def camel(name: str) -> str:
    """The JSON name of a field."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
