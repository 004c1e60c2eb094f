"""Pages of listings: how long they are, and tokens that say where the next one starts.

A token is opaque to callers and bound to the query that made it.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Sequence

from relay_server import limits
from relay_server.model import Cursor
from relay_server.rpc.validate import Checks

_DIGEST_BYTES = 8
_TOKEN_CHARS_MAX = 1024
_STRANGE = "is not a token of this listing; leave it out to start again"


def page_size(asked: int, *, default: int) -> int:
    """Zero and less are the default, more than 500 is cut."""
    return min(asked, limits.PAGE_MAX) if asked > 0 else default


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


def after_job(query: Sequence[str], cursor: Cursor | None) -> str:
    """The token of the page after this job; empty when there is none."""
    return "" if cursor is None else make(query, [cursor.score, cursor.id.hex()])


def read_job(checks: Checks, token: str, query: Sequence[str]) -> Cursor | None:
    """The job after which the page starts; None for the first page."""
    position = read(checks, token, query)
    if position is None:
        return None
    try:
        score, job_id = position
        if not math.isnan(float(score)):
            return Cursor(repr(float(score)), bytes.fromhex(job_id))
    except ValueError:
        pass
    checks.add("page_token", _STRANGE)
    return None


def after_place(query: Sequence[str], place: bytes) -> str:
    """The token of the page after this place in the roster; empty when there is none."""
    return make(query, [place.hex()]) if place else ""


def read_place(checks: Checks, token: str, query: Sequence[str]) -> bytes:
    """The place in the roster after which the page starts; empty for the first page."""
    position = read(checks, token, query)
    try:
        return bytes.fromhex(position[0]) if position is not None else b""
    except (ValueError, IndexError):
        checks.add("page_token", _STRANGE)
        return b""


def _digest(query: Sequence[str], raw: bytes) -> bytes:
    return hashlib.blake2b(json.dumps(list(query)).encode() + b"\0" + raw, digest_size=_DIGEST_BYTES).digest()
