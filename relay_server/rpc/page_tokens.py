"""Page tokens: where a listing goes on, opaque to callers and bound to the query that made them."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from relay_server.rpc.validate import Checks

_DIGEST_BYTES = 8
_TOKEN_CHARS_MAX = 1024


def make(query: Sequence[str], position: Sequence[str]) -> str:
    """A token for `position` in the results of `query`. The digest finds mistakes; it is no secret."""
    raw = json.dumps(list(position)).encode()
    return base64.urlsafe_b64encode(_digest(query, raw) + raw).rstrip(b"=").decode()


def read(checks: Checks, token: str, query: Sequence[str]) -> list[str] | None:
    """The position in a token; None without one, and for one that is damaged or of another query (a violation)."""
    if not token:
        return None
    try:
        joined = base64.b64decode(
            token[:_TOKEN_CHARS_MAX] + "=" * (-len(token) % 4), altchars=b"-_", validate=True
        )
        digest, raw = joined[:_DIGEST_BYTES], joined[_DIGEST_BYTES:]
        position = json.loads(raw) if digest == _digest(query, raw) else None
        if isinstance(position, list) and all(isinstance(part, str) for part in position):
            return position
    except (binascii.Error, ValueError):
        pass
    checks.add(
        "page_token",
        "is damaged or of another query; send next_page_token of the same query, or leave it out",
    )
    return None


def _digest(query: Sequence[str], raw: bytes) -> bytes:
    return hashlib.blake2b(json.dumps(list(query)).encode() + b"\0" + raw, digest_size=_DIGEST_BYTES).digest()
