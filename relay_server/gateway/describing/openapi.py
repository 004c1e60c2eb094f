"""Describes the routes as OpenAPI 3.1, from the same descriptors that serve them and the contract's comments."""

import json
from importlib.resources import files
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from relay_server.gateway.admitting.negotiation import JSON, NDJSON, SSE
from relay_server.gateway.describing.schemas import Schemas
from relay_server.gateway.transcoding.binding import takes_key
from relay_server.gateway.transcoding.routes import Route, Routes

Json = dict[str, Any]

_COMMENTS = "comments.json"

# Error answers: of any call, of calls with a body, of calls that change something. Each is a google.rpc.Status.
_ERRORS: Final = {
    "400": "A field is missing, malformed or out of range, or the state does not allow the call.",
    "401": "Who calls is not known: a token is missing, unknown, revoked or expired. Only with --tokens-file.",
    "403": "The token's roles do not allow it; or the request comes from a page of another site.",
    "404": "No such queue, job or route.",
    "406": "Accept has nothing that this call answers with.",
    "421": "The Host is not one of the server's; see --http-allowed-host.",
    "429": "A limit is reached: of a queue, of the store's memory, of streams. Retry-After says when to come back.",
    "500": "A defect; the server's log has the details.",
    "503": "Redis is away, or the server is shutting down. Repeat the call after Retry-After.",
    "504": "The call took longer than it may; whether it was done is not known. Every call is safe to repeat.",
}
_BODY_ERRORS: Final = {
    "408": "The body did not arrive within the time that a call may take at most.",
    "409": "The idempotency key is held by another job.",
    "413": "The body or a payload is over its limit in bytes.",
    "415": "The body is not application/json in UTF-8.",
}
_RETRIED: Final = {"429", "503"}


def openapi(routes: Routes, *, version: str) -> Json:
    """The document; equal for equal descriptors."""
    comments: dict[str, str] = json.loads((files(__package__) / _COMMENTS).read_text("utf-8"))
    schemas = Schemas(comments)
    paths: dict[str, Json] = {}
    names: set[str] = set()
    for route in sorted(routes.all, key=lambda one: (one.template.text, one.verb)):
        path = _path(route)
        operation = _operation(route, schemas, comments)
        while operation["operationId"] in names:  # an additional binding
            operation["operationId"] += "_"
        names.add(operation["operationId"])
        paths.setdefault(path, {})[route.verb.lower()] = operation
    services = {route.method.descriptor.containing_service.full_name for route in routes.all}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Relay",
            "version": version,
            "description": "A distributed job queue. The same services as over gRPC, as JSON by the proto3 mapping: "
            "fields that have their default value are left out of answers; 64-bit numbers are strings. "
            "docs/http.md has the rules.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name.rpartition(".")[2], "description": comments.get(name, "")}
            for name in sorted(services)
        ],
        "paths": paths,
        "security": [{}, *({name: []} for name in _CREDENTIALS)],
        "components": {
            "schemas": dict(sorted((schemas.done() | _STATUS_SCHEMA).items())),
            "parameters": _PARAMETERS,
            "securitySchemes": _CREDENTIALS,
            "responses": {code: _error(code, text) for code, text in (_ERRORS | _BODY_ERRORS).items()},
        },
    }


def _path(route: Route) -> str:
    """The template without its patterns: {name=**} is {name}."""
    text = route.template.text
    for name in route.template.variables:
        start = text.index("{" + name)
        text = text[:start] + "{" + name + text[text.index("}", start) :]
    return text


def _operation(route: Route, schemas: Schemas, comments: dict[str, str]) -> Json:
    method = route.method.descriptor
    full = f"{method.containing_service.full_name}.{method.name}"
    text = comments.get(full, "")
    codes = [*_ERRORS, *(_BODY_ERRORS if route.verb != "GET" else ())]
    operation: Json = {
        "operationId": f"{method.containing_service.name}_{method.name}",
        "tags": [method.containing_service.name],
        "summary": text.partition(". ")[0].rstrip("."),
        "description": f"{text}\n\nThe RPC is `{route.method.path}`.",
        "parameters": _parameters(route, schemas),
        "responses": {
            "200": _success(route, schemas),
            **{code: {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)},
        },
    }
    body = _body(route, schemas)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _parameters(route: Route, schemas: Schemas) -> list[Json]:
    request = route.method.descriptor.input_type
    found: list[Json] = []
    for name in route.template.variables:
        message, _, last = name.rpartition(".")
        field = _walk(request, message).fields_by_name[last]
        found.append({"name": name, "in": "path", "required": True, **schemas.parameter(field)})
    if route.body != "*":
        found += _query(request, route, schemas, "")
    found.append({"$ref": "#/components/parameters/timeout"})
    if takes_key(request) and route.body:
        found.append({"$ref": "#/components/parameters/idempotencyKey"})
    return found


def _query(message: Any, route: Route, schemas: Schemas, prefix: str) -> list[Json]:
    """Parameters for the fields that neither path nor body has; those of a message inside are named by dots."""
    found: list[Json] = []
    for field in message.fields:
        name = f"{prefix}{field.json_name}"
        if not prefix and (field.name in route.template.variables or field.name == route.body):
            continue
        inner = field.message_type
        if inner is None or inner.full_name.startswith("google.protobuf."):
            found.append({"name": name, "in": "query", **schemas.parameter(field)})
        elif not field.is_repeated:
            found += _query(inner, route, schemas, f"{name}.")
    return found


def _walk(message: Any, path: str) -> Any:
    for name in path.split(".") if path else ():
        message = message.fields_by_name[name].message_type
    return message


def _body(route: Route, schemas: Schemas) -> Json | None:
    if not route.body:
        return None
    request = route.method.descriptor.input_type
    if route.body == "*":
        schema = schemas.message(request, without=frozenset(route.template.variables))
    else:
        schema = schemas.field(request.fields_by_name[route.body])
    return {"content": {JSON: {"schema": schema}}}


def _success(route: Route, schemas: Schemas) -> Json:
    response: Any = route.method.descriptor.output_type
    if route.response_body:
        field: FieldDescriptor = response.fields_by_name[route.response_body]
        schema = schemas.field(field)
    else:
        schema = schemas.message(response)
    if not route.method.streams:
        return {"description": schemas.comment(response), "content": {JSON: {"schema": schema}}}
    text = (
        'A stream. As NDJSON, one object a line, and a last line `{"error": Status}` when it fails. '
        "As server-sent events, one object an event, a comment every 15 s of silence, "
        "`event: end` at its end or `event: error` with a Status when it fails."
    )
    return {
        "description": text,
        "headers": {"X-Accel-Buffering": {"schema": {"type": "string", "const": "no"}}},
        "content": {
            NDJSON: {"schema": {"type": "string"}, "x-item-schema": schema},
            SSE: {"schema": {"type": "string"}, "x-item-schema": schema},
        },
    }


def _error(code: str, text: str) -> Json:
    answer: Json = {
        "description": text,
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Status"}}},
    }
    if code in _RETRIED:
        seconds = {"type": "integer", "minimum": 1}
        answer["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": seconds}}
    return answer


_STATUS_SCHEMA: Final[Json] = {
    "Status": {
        "type": "object",
        "description": "google.rpc.Status: why a call failed. ErrorInfo among the details has the reason: domain relay "
        "for those of the contract, relay.http for those that only HTTP has.",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "description": "google.rpc.Code, 1 to 16."},
            "message": {"type": "string", "description": "For people."},
            "details": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {"@type": {"type": "string"}},
                    "additionalProperties": True,
                },
            },
        },
    }
}

_CREDENTIALS: Final[Json] = {
    "token": {"type": "http", "scheme": "bearer", "description": "Of a server with --tokens-file."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "relay_token",
        "description": "The same token; POST /api/v1/sign-in sets it. __Host-relay_token under TLS.",
    },
}

_PARAMETERS: Final[Json] = {
    "timeout": {
        "name": "X-Relay-Timeout",
        "in": "header",
        "description": "How long the call may take, such as 2.5s. Grpc-Timeout (such as 10S) is read as well.",
        "schema": {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,9})?s$"},
    },
    "idempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Sets idempotencyKey of the job, or requestId of a batch.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    },
}
