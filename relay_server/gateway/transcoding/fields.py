"""Fills messages from JSON values by the proto3 mapping, stricter than the library, and reports each wrong field."""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from relay_server.contract.bounds import Place
from relay_server.contract.violations import Violations
from relay_server.gateway.transcoding import payloads

_F = FieldDescriptor
_BITS: Final = {
    _F.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    _F.TYPE_SINT32: (-(1 << 31), (1 << 31) - 1),
    _F.TYPE_SFIXED32: (-(1 << 31), (1 << 31) - 1),
    _F.TYPE_UINT32: (0, (1 << 32) - 1),
    _F.TYPE_FIXED32: (0, (1 << 32) - 1),
    _F.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    _F.TYPE_SINT64: (-(1 << 63), (1 << 63) - 1),
    _F.TYPE_SFIXED64: (-(1 << 63), (1 << 63) - 1),
    _F.TYPE_UINT64: (0, (1 << 64) - 1),
    _F.TYPE_FIXED64: (0, (1 << 64) - 1),
}
_WELL_KNOWN = "google.protobuf."
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")


class Text(str):
    """A value of a path or query. All of these are text, so the words true and false stand for booleans."""

    __slots__ = ()


class _Wrong(ValueError):
    """A value of the wrong kind. The message says which kind is right."""


def fill(message: Message, place: Place | None, value: Any, path: str, problems: Violations) -> None:
    """Sets the fields of `message` from a JSON object. Violations go to `problems`.

    Names may be camelCase or as in the contract; null leaves the field unset. `place` bounds the lists.
    """
    descriptor: Any = message.DESCRIPTOR
    if descriptor.full_name.startswith(_WELL_KNOWN):
        _fill_well_known(message, value, path, problems)
        return
    if not isinstance(value, dict):
        problems.add(path or "body", f"must be an object, is {kind(value)}")
        return
    names = _names(descriptor)
    seen: set[str] = set()
    if payloads.sugared(descriptor):
        value = payloads.taken_in(value, path, problems)
    for key, entry in value.items():
        field = names.get(key)
        here = f"{path}.{key}" if path else key
        if field is None:
            problems.add(here, f"is not a field of {descriptor.name}: {_listed(descriptor)}")
        elif field.name in seen:
            problems.add(here, f"is given twice, as {field.json_name} and {field.name}")
        elif entry is not None:
            seen.add(field.name)
            where = f"{path}.{field.name}" if path else field.name
            other = _other_of_oneof(field, message)
            if other:
                problems.add(where, f"cannot be given together with {other}")
            else:
                _set(message, place, field, entry, where, problems)


def field_of(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """The field with this name in either spelling."""
    return _names(descriptor).get(name)


def kind(value: Any) -> str:
    """The kind of a JSON value, in JSON's words."""
    if value is None:
        return "null"
    for types, name in (
        (bool, "a boolean"),
        (str, "a string"),
        ((int, float), "a number"),
        (list, "an array"),
    ):
        if isinstance(value, types):
            return name
    return "an object"


def _set(
    message: Message,
    place: Place | None,
    field: FieldDescriptor,
    value: Any,
    path: str,
    problems: Violations,
) -> None:
    target = getattr(message, field.name)
    bounded = place.fields.get(field.number) if place is not None else None
    below = bounded.below if bounded is not None else None
    if field.is_repeated:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if not isinstance(value, dict if is_map else list):
            problems.add(path, f"must be an {'object' if is_map else 'array'}, is {kind(value)}")
            return
        entries = bounded.entries if bounded is not None else None
        assert entries is not None, f"{field.full_name} has no bound"
        if len(value) > entries.most:
            problems.add(path, entries.wrong(len(value)))
        elif is_map:
            _fill_map(target, field, value, path, problems)
        else:
            _fill_list(target, below, field, value, path, problems)
    elif field.message_type is not None:
        target.SetInParent()
        fill(target, below, value, path, problems)
    else:
        scalar = _checked(field, value, path, problems)
        if scalar is not None:
            setattr(message, field.name, scalar)


def _fill_list(
    target: Any, below: Place | None, field: FieldDescriptor, value: Any, path: str, problems: Violations
) -> None:
    for number, entry in enumerate(value):
        here = f"{path}[{number}]"
        if field.message_type is not None:
            fill(target.add(), below, entry, here, problems)
        else:
            scalar = _checked(field, entry, here, problems)
            if scalar is not None:
                target.append(scalar)


def _fill_map(target: Any, field: FieldDescriptor, value: Any, path: str, problems: Violations) -> None:
    entries: Any = field.message_type
    key_field, value_field = entries.fields
    for key, entry in value.items():
        here = f'{path}["{key}"]'
        name = _checked(key_field, Text(key), here, problems)
        if name is None:
            continue
        if value_field.message_type is not None:
            fill(target[name], None, entry, here, problems)
        else:
            scalar = _checked(value_field, entry, here, problems)
            if scalar is not None:
                target[name] = scalar


def _fill_well_known(message: Message, value: Any, path: str, problems: Violations) -> None:
    """Timestamp, Duration and their like are one JSON value each; the library knows them."""
    plain: Any = str(value) if isinstance(value, Text) else value
    try:
        json_format.ParseDict(plain, message)
    except (json_format.ParseError, ValueError, TypeError, AttributeError):
        problems.add(path, f"must be {_EXAMPLES.get(message.DESCRIPTOR.name, 'valid')}")


_EXAMPLES = {
    "Duration": 'a duration in seconds, such as "1.5s"',
    "Timestamp": 'a time of RFC 3339, such as "2026-01-31T12:00:00Z"',
}


def _checked(field: FieldDescriptor, value: Any, path: str, problems: Violations) -> Any:
    try:
        return _scalar(field, value)
    except _Wrong as wrong:
        problems.add(path, f"must be {wrong}, is {_shown(value)}")
        return None


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.type == _F.TYPE_STRING:
        if not isinstance(value, str):
            raise _Wrong("a string")
        return str(value)
    if field.type == _F.TYPE_BYTES:
        return _bytes(value)
    if field.type == _F.TYPE_BOOL:
        if isinstance(value, Text) and value in {"true", "false"}:
            return value == "true"
        if not isinstance(value, bool):
            raise _Wrong("true or false")
        return value
    if field.enum_type is not None:
        return _enum(field.enum_type, value)
    if field.type in {_F.TYPE_DOUBLE, _F.TYPE_FLOAT}:
        return _float(value)
    return _integer(value, *_BITS[field.type])


def _bytes(value: Any) -> bytes:
    """Base64, standard or for URLs, with or without its padding."""
    if isinstance(value, payloads.Raw):
        return value
    try:
        if isinstance(value, str) and value.isascii():
            plain = value.translate(_URL_SAFE).rstrip("=")
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        pass
    raise _Wrong("bytes in base64")


_URL_SAFE = str.maketrans("-_", "+/")


def _enum(descriptor: Any, value: Any) -> int:
    if isinstance(value, str) and value in descriptor.values_by_name:
        return int(descriptor.values_by_name[value].number)
    number = int(value) if isinstance(value, Text) and _INTEGER.fullmatch(value) else value
    if isinstance(number, int) and not isinstance(number, bool) and number in descriptor.values_by_number:
        return number
    raise _Wrong("one of " + ", ".join(one.name for one in descriptor.values))


def _integer(value: Any, low: int, high: int) -> int:
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _Wrong(f"a whole number from {low} to {high}")
    return value


def _float(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("a number that a double holds")
    return number


def _other_of_oneof(field: FieldDescriptor, message: Message) -> str:
    """The name of the field of the same oneof that is set already, or ""."""
    oneof = field.containing_oneof
    return "" if oneof is None else message.WhichOneof(oneof.name) or ""


_names_of: dict[str, Mapping[str, FieldDescriptor]] = {}


def _names(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Both spellings of every field."""
    names = _names_of.get(descriptor.full_name)
    if names is None:
        names = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
        _names_of[descriptor.full_name] = names
    return names


def _listed(descriptor: Descriptor) -> str:
    names = [field.json_name for field in descriptor.fields]
    if payloads.sugared(descriptor):
        names.append(payloads.SUGAR)
    return "it has " + (", ".join(names) if names else "none")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(str(value) if len(value) <= 40 else value[:40] + "…")
    return str(value)[:40] if isinstance(value, int | float) and not isinstance(value, bool) else kind(value)
