"""A session is its principal's alone (I18): nobody else can take over its stream or speak for its window."""

import pytest

from relay_server.claims.session import Terms
from relay_server.claims.sessions import Sessions

TERMS = Terms(worker_id="w", client_version="", queues={"q": 1}, max_in_flight=8, lease_ms=30_000, grace_ms=1)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions("server")


def open_as(sessions: Sessions, name: str, session_id: str = "") -> str:
    return sessions.name(sessions.open(session_id, name, TERMS, 0))


def test_its_own_principal_comes_back_to_it(sessions: Sessions) -> None:
    mine = open_as(sessions, "shop")
    assert open_as(sessions, "shop", mine) == mine


def test_another_principal_gets_one_of_its_own(sessions: Sessions) -> None:
    mine = open_as(sessions, "shop")
    theirs = open_as(sessions, "mallory", mine)
    assert theirs != mine
    assert sessions.find(mine, "mallory") is None
    assert sessions.find(mine, "shop") is not sessions.find(theirs, "mallory")
