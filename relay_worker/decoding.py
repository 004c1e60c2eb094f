"""Turns a payload into what a handler's first parameter asks for, by its type hint. Never pickle."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from relay_worker.outcome import UndecodablePayload

Decoder = Callable[[bytes, str], Any]
_Convert = Callable[[Any, str], Any]


class UnsupportedHint(TypeError):
    """The type hint is one no payload can be decoded to."""


def decoder_for(hint: Any) -> Decoder:
    """A function (payload, content type) -> value for one hint; the work of reading the hint is done here, once.

    Raises UnsupportedHint now, and UndecodablePayload later when a payload does not fit.
    """
    if hint is bytes:
        return lambda payload, content_type: payload
    if _is_pydantic(hint):
        return _foreign(hint.model_validate_json, "pydantic")
    if _is_msgspec(hint):
        msgspec = sys.modules["msgspec"]
        return _foreign(msgspec.json.Decoder(hint).decode, "msgspec")
    convert = _converter(hint)
    if convert is _as_is:
        # The hint accepts anything: a payload that is neither JSON nor text is passed as bytes.
        return lambda payload, media: _json_value(payload, media) if _is_text(media) else payload

    def decode(payload: bytes, content_type: str) -> Any:
        return convert(_json_value(payload, content_type), "payload")

    return decode


def _json_value(payload: bytes, content_type: str) -> Any:
    if content_type and content_type.startswith("text/"):
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise UndecodablePayload(
                f"the payload is not UTF-8 text: {error.reason} at byte {error.start}"
            ) from None
    if not _is_text(content_type):
        raise UndecodablePayload(
            f"content type {content_type!r} is not JSON; take the payload as bytes to decode it yourself"
        )
    if not payload:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UndecodablePayload(f"the payload is not JSON: {error}") from None


def _is_text(content_type: str) -> bool:
    return not content_type or content_type.startswith("text/") or _is_json(content_type)


def _is_json(content_type: str) -> bool:
    media = content_type.split(";", 1)[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _foreign(parse: Callable[[bytes], Any], library: str) -> Decoder:
    def decode(payload: bytes, content_type: str) -> Any:
        if content_type and not _is_json(content_type):
            raise UndecodablePayload(f"content type {content_type!r} is not JSON, which {library} types need")
        try:
            return parse(payload)
        except ValueError as error:  # pydantic's and msgspec's errors are ValueErrors
            raise UndecodablePayload(str(error)) from None

    return decode


def _is_pydantic(hint: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(hint, type) and issubclass(hint, pydantic.BaseModel)


def _is_msgspec(hint: Any) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _as_is(value: Any, where: str) -> Any:
    return value


def _converter(hint: Any) -> _Convert:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return _as_is
    if origin is typing.Annotated or origin in {typing.Required, typing.NotRequired}:
        return _converter(args[0])
    if hint is None or hint is type(None):
        return _exactly(type(None), "null")
    if origin is Union or origin is types.UnionType:
        return _union(args)
    if origin is Literal:
        return _literal(args)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _Record.of_dataclass(hint)
    if typing.is_typeddict(hint):
        return _Record.of_typed_dict(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _parsed(hint, f"one of {[member.value for member in hint]}")
    if (scalar := _SCALARS.get(hint)) is not None:
        return scalar
    return _collection(hint, origin or hint, args)


def _exactly(kind: type | tuple[type, ...], name: str) -> _Convert:
    def convert(value: Any, where: str) -> Any:
        # bool is an int in Python and is not one in JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UndecodablePayload(f"{where}: expected {name}, got {_json_name(value)}")
        return value

    return convert


def _float(value: Any, where: str) -> float:
    return float(_exactly((int, float), "a number")(value, where))


def _parsed(parse: Callable[[Any], Any], name: str) -> _Convert:
    def convert(value: Any, where: str) -> Any:
        try:
            return parse(value)
        except (ValueError, TypeError, ArithmeticError):
            raise UndecodablePayload(f"{where}: expected {name}, got {_json_name(value)}") from None

    return convert


def _text_parsed(parse: Callable[[str], Any], name: str) -> _Convert:
    text, parsed = _exactly(str, name), _parsed(parse, name)
    return lambda value, where: parsed(text(value, where), where)


_SCALARS: dict[Any, _Convert] = {
    str: _exactly(str, "a string"),
    int: _exactly(int, "an integer"),
    float: _float,
    bool: _exactly(bool, "true or false"),
    datetime: _text_parsed(datetime.fromisoformat, "an ISO 8601 time"),
    date: _text_parsed(date.fromisoformat, "an ISO 8601 date"),
    timedelta: _parsed(lambda seconds: timedelta(seconds=seconds), "seconds"),
    UUID: _text_parsed(UUID, "a UUID"),
    Decimal: _parsed(lambda value: Decimal(str(value)), "a decimal number"),
}


def _union(options: tuple[Any, ...]) -> _Convert:
    converts = [_converter(option) for option in options]
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)

    def convert(value: Any, where: str) -> Any:
        for option in converts:
            try:
                return option(value, where)
            except UndecodablePayload:
                continue
        raise UndecodablePayload(f"{where}: expected {names}, got {_json_name(value)}")

    return convert


def _literal(allowed: tuple[Any, ...]) -> _Convert:
    def convert(value: Any, where: str) -> Any:
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise UndecodablePayload(f"{where}: expected one of {list(allowed)}, got {_json_name(value)}")
        return value

    return convert


def _collection(hint: Any, kind: Any, args: tuple[Any, ...]) -> _Convert:
    if kind in {dict, Mapping} or getattr(kind, "__name__", "") in {"Mapping", "MutableMapping"}:
        values = _converter(args[1]) if len(args) == 2 else _as_is
        return lambda value, where: {
            key: values(one, f"{where}.{key}") for key, one in _object(value, where).items()
        }
    if kind is tuple and args and args[-1] is not Ellipsis:
        return _fixed_tuple([_converter(arg) for arg in args])
    if (
        kind in {list, tuple, set, frozenset}
        or kind is Sequence
        or getattr(kind, "__name__", "") == "Sequence"
    ):
        element = _converter(args[0]) if args else _as_is
        make = kind if kind in {list, tuple, set, frozenset} else list
        array = _exactly(list, "an array")
        return lambda value, where: make(
            element(one, f"{where}[{index}]") for index, one in enumerate(array(value, where))
        )
    raise UnsupportedHint(
        f"{hint!r} is not a payload type: use a dataclass, TypedDict, pydantic model, msgspec Struct, "
        "dict, list, str, int, float, bool, bytes or Any"
    )


def _fixed_tuple(converts: list[_Convert]) -> _Convert:
    array = _exactly(list, f"an array of {len(converts)}")

    def convert(value: Any, where: str) -> Any:
        parts = array(value, where)
        if len(parts) != len(converts):
            raise UndecodablePayload(f"{where}: expected an array of {len(converts)}, got {len(parts)}")
        return tuple(
            one(part, f"{where}[{i}]") for i, (one, part) in enumerate(zip(converts, parts, strict=True))
        )

    return convert


_object = _exactly(dict, "an object")


@dataclasses.dataclass(slots=True)
class _Record:
    """Fields by name, for dataclasses and TypedDicts. Names it does not know are left out: producers may be newer."""

    make: Callable[..., Any]
    fields: dict[str, _Convert]
    required: frozenset[str]

    @classmethod
    def of_dataclass(cls, hint: Any) -> _Record:
        hints = typing.get_type_hints(hint)
        fields = [field for field in dataclasses.fields(hint) if field.init]
        missing = dataclasses.MISSING
        return cls(
            make=hint,
            fields={field.name: _converter(hints[field.name]) for field in fields},
            required=frozenset(
                f.name for f in fields if f.default is missing and f.default_factory is missing
            ),
        )

    @classmethod
    def of_typed_dict(cls, hint: Any) -> _Record:
        hints = typing.get_type_hints(hint)
        return cls(
            make=dict,
            fields={name: _converter(one) for name, one in hints.items()},
            required=frozenset(hint.__required_keys__),
        )

    def __call__(self, value: Any, where: str) -> Any:
        source = _object(value, where)
        absent = self.required - source.keys()
        if absent:
            raise UndecodablePayload(f"{where}: missing {', '.join(sorted(absent))}")
        known = {
            name: one(source[name], f"{where}.{name}") for name, one in self.fields.items() if name in source
        }
        try:
            return self.make(**known)
        except (ValueError, TypeError) as error:  # __post_init__ may check values
            raise UndecodablePayload(f"{where}: {error}") from error


def _json_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"
