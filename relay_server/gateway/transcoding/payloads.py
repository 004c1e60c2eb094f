"""payload_json: a JSON payload written as JSON, where the contract has bytes and a content type.

A message has it when it has the fields `bytes payload` and `string content_type`. On the way in, payloadJson stands
for the payload (its compact UTF-8 text) and for content type application/json. On the way out it is given beside the
payload when that is JSON by its content type and by its text, and not too large.
"""

import json
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from relay_server.contract.violations import Violations
from relay_server.gateway.admitting.json_limits import BadJson, JsonLimits, read_json

SUGAR = "payloadJson"
SHOWN_BYTES_MAX = 64 << 10
MEDIA_TYPE = "application/json"

_SUGAR_NAMES = (SUGAR, "payload_json")
_SHOWN = JsonLimits(depth=64, values=20_000)


def sugared(descriptor: Descriptor) -> bool:
    """Whether messages of this type have a payload with a content type."""
    known = _sugared.get(descriptor.full_name)
    if known is None:
        payload, content = map(descriptor.fields_by_name.get, ("payload", "content_type"))
        known = (payload is not None and payload.type == FieldDescriptor.TYPE_BYTES) and (
            content is not None and content.type == FieldDescriptor.TYPE_STRING
        )
        _sugared[descriptor.full_name] = known
    return known


_sugared: dict[str, bool] = {}


def taken_in(value: dict[str, Any], path: str, problems: Violations) -> dict[str, Any]:
    """The object with payload and content type in place of payloadJson. Its null is a payload, not an absent field."""
    given = [name for name in _SUGAR_NAMES if name in value]
    if not given:
        return value
    name, rest = given[0], {key: entry for key, entry in value.items() if key not in _SUGAR_NAMES}
    here = f"{path}.{name}" if path else name
    if len(given) > 1 or rest.get("payload") is not None:
        other = given[1] if len(given) > 1 else "payload"
        problems.add(here, f"cannot be given together with {other}")
        return rest
    content = next((rest[key] for key in ("contentType", "content_type") if rest.get(key) is not None), None)
    if content is None:
        rest["content_type"] = MEDIA_TYPE
        rest.pop("contentType", None)
    elif not isinstance(content, str) or not is_json(content):
        problems.add(here, f"needs a content type that is JSON, such as {MEDIA_TYPE}, or none")
        return rest
    return rest | {"payload": Raw(compact_text(value[name]))}


class Raw(bytes):
    """Bytes that need no base64."""

    __slots__ = ()


def compact_text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def is_json(content_type: str) -> bool:
    """Whether a content type means JSON; by the contract an empty one does."""
    media = content_type.partition(";")[0].strip().lower()
    return media in {"", MEDIA_TYPE} or media.endswith("+json")


def add_shown(message: Message, shown: dict[str, Any]) -> None:
    """Adds payloadJson to the JSON form of a message, wherever a message with a payload lies in it."""
    descriptor: Any = message.DESCRIPTOR
    if not _reaches(descriptor):
        return
    if sugared(descriptor):
        _add(message, shown)
    for field in _ways(descriptor):
        inner, below = getattr(message, field.name), shown.get(field.json_name)
        if below is None:
            continue
        if field.is_repeated:
            for one, its in zip(inner, below, strict=True):
                add_shown(one, its)
        else:
            add_shown(inner, below)


def _add(message: Any, shown: dict[str, Any]) -> None:
    if not 0 < len(message.payload) <= SHOWN_BYTES_MAX or not is_json(message.content_type):
        return
    try:
        shown[SUGAR] = read_json(message.payload, _SHOWN)
    except BadJson:
        return


_ways_of: dict[str, tuple[FieldDescriptor, ...]] = {}
_reaching: dict[str, bool] = {}


def _ways(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields that lead to a message with a payload."""
    ways = _ways_of.get(descriptor.full_name)
    if ways is None:
        ways = tuple(
            field
            for field in descriptor.fields
            if field.message_type is not None
            and not field.message_type.GetOptions().map_entry
            and _reaches(field.message_type)
        )
        _ways_of[descriptor.full_name] = ways
    return ways


def _reaches(descriptor: Descriptor) -> bool:
    known = _reaching.get(descriptor.full_name)
    if known is None:
        _reaching[descriptor.full_name] = False  # ends the walk of a type that contains itself
        known = sugared(descriptor) or bool(_ways(descriptor))
        _reaching[descriptor.full_name] = known
    return known
