"""JSON Schemas of messages, as the gateway reads and writes them."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from relay_server.gateway.transcoding import payloads

Json = dict[str, Any]

_F = FieldDescriptor
_INTEGERS = {
    _F.TYPE_INT32: "int32",
    _F.TYPE_SINT32: "int32",
    _F.TYPE_SFIXED32: "int32",
    _F.TYPE_UINT32: "uint32",
    _F.TYPE_FIXED32: "uint32",
}
_LONG = {
    _F.TYPE_INT64: "int64",
    _F.TYPE_SINT64: "int64",
    _F.TYPE_SFIXED64: "int64",
    _F.TYPE_UINT64: "uint64",
    _F.TYPE_FIXED64: "uint64",
}
_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
}


class Schemas:
    """Makes schemas on demand and keeps each once, by the name of its message."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._made: dict[str, Json] = {}

    def done(self) -> dict[str, Json]:
        return self._made

    def comment(self, thing: Any) -> str:
        """The comment of a message, field or enum in the contract."""
        return self._comments.get(thing.full_name, "")

    def message(self, descriptor: Any, *, without: frozenset[str] = frozenset()) -> Json:
        """A reference to the schema of a message. `without` names fields that the path holds, not the body."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return dict(known)
        name = _short(descriptor) + ("Body" if without else "")
        if name not in self._made:
            self._made[name] = {}  # a message may contain itself
            self._made[name] = self._object(descriptor, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, descriptor: Any, without: frozenset[str]) -> Json:
        fields = [field for field in descriptor.fields if field.name not in without]
        properties = {field.json_name: self.field(field) for field in fields}
        if payloads.sugared(descriptor):
            properties[payloads.SUGAR] = {
                "description": "The payload as JSON: given instead of payload, or shown beside one that is JSON "
                f"and has at most {payloads.SHOWN_BYTES_MAX // 1024} KiB."
            }
        schema: Json = {"type": "object", "description": self.comment(descriptor), "properties": properties}
        schema["additionalProperties"] = False
        return schema

    def field(self, field: Any) -> Json:
        """The schema of a field, its comment included."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            schema: Json = {
                "type": "object",
                "additionalProperties": self._one(inner.fields_by_name["value"]),
            }
        elif field.is_repeated:
            schema = {"type": "array", "items": self._one(field)}
        else:
            schema = self._one(field)
        text = self.comment(field)
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            others = ", ".join(other.json_name for other in oneof.fields if other is not field)
            text += f" Not together with {others}."
        return {**schema, "description": text}

    def parameter(self, field: Any) -> Json:
        """The schema and description of a path or query parameter, from its field."""
        schema = self.field(field)
        return {"description": schema.pop("description"), "schema": schema}

    def _one(self, field: Any) -> Json:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.type in _INTEGERS:
            return {"type": "integer", "format": _INTEGERS[field.type]}
        if field.type in _LONG:
            return {"type": ["string", "integer"], "format": _LONG[field.type], "pattern": "^-?[0-9]{1,19}$"}
        if field.type in {_F.TYPE_DOUBLE, _F.TYPE_FLOAT}:
            return {"type": "number", "format": "double"}
        if field.type == _F.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == _F.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/_-]*={0,2}$"}
        return {"type": "string"}

    def _enum(self, descriptor: Any) -> Json:
        name = _short(descriptor)
        if name not in self._made:
            lines = [
                f"- `{value.name}`: {self._comments.get(f'{descriptor.full_name}.{value.name}', '')}"
                for value in descriptor.values
            ]
            text = "\n".join([self.comment(descriptor), "", *lines])
            values = [value.name for value in descriptor.values]
            self._made[name] = {"type": "string", "description": text, "enum": values}
        return {"$ref": f"#/components/schemas/{name}"}


def _short(descriptor: Any) -> str:
    package: str = descriptor.file.package
    return str(descriptor.full_name).removeprefix(package + ".")
