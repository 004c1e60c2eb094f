"""A page token that somebody made up is a violation that names the field, whatever is in it."""

import base64
import json

import pytest

from relay_server import errors
from relay_server.model import Cursor
from relay_server.rpc import page_tokens
from relay_server.rpc.validate import Checks

QUERY = ("ListJobs", "q")


def forged(content: object) -> str:
    raw = json.dumps(content).encode()
    joined = page_tokens._digest(QUERY, raw) + raw
    return base64.urlsafe_b64encode(joined).rstrip(b"=").decode()


def test_a_token_that_was_made_is_read() -> None:
    checks = Checks()
    token = page_tokens.after_job(QUERY, Cursor("1.5", b"\2\xff"))
    cursor = page_tokens.read_job(checks, token, QUERY)
    checks.done()
    assert cursor is not None
    assert (cursor.score, cursor.id) == ("1.5", b"\2\xff")


@pytest.mark.parametrize(
    "content",
    [5, None, {"a": 1}, [1, 2], ["nan", "0"], ["inf", "0"], ["1", "-5"], ["1", "5"], ["1"], ["x", "y"], []],
)
def test_a_token_that_was_made_up_is_refused(content: object) -> None:
    checks = Checks()
    assert page_tokens.read_job(checks, forged(content), QUERY) is None
    with pytest.raises(errors.InvalidField, match="page_token"):
        checks.done()
