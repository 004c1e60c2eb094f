"""Windows without a socket: reports apply where their session is, and to its own principal alone."""

import os
from typing import cast

import pytest

from relay_server import errors
from relay_server.claims.dispatchers import Dispatchers
from relay_server.claims.session import Report, Session, Terms
from relay_server.claims.sessions import Sessions
from relay_server.claims.windows import Windows
from relay_server.model import Lease

TERMS = Terms(
    worker_id="w", client_version="", queues={"q": 1}, max_in_flight=10, lease_ms=10_000, grace_ms=0
)


class Opened:
    """In place of the dispatchers: keeps the sessions whose windows opened."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def window_opened(self, session: Session) -> None:
        self.sessions.append(session)


class Server:
    """The windows of one server, and the messages that it forwards."""

    def __init__(self, name: str) -> None:
        self.sessions = Sessions(name)
        self.opened = Opened()
        self.sent: list[tuple[str, bytes]] = []
        self.away = False
        self.windows = Windows(name, self.sessions, cast(Dispatchers, self.opened), self._forward)

    async def _forward(self, server_id: str, message: bytes) -> None:
        if self.away:
            raise errors.StoreUnavailable
        self.sent.append((server_id, message))

    def open(self, principal: str = "shop") -> tuple[Session, str]:
        session = self.sessions.open("", principal, TERMS, 0)
        return session, self.sessions.name(session)


@pytest.fixture
def here() -> Server:
    return Server("here")


def report(session_id: str, *, in_flight: int, seq: int = 1) -> Report:
    return Report(session_id=session_id, received=0, in_flight=in_flight, seq=seq, stream=0)


async def test_a_report_restates_the_window_and_opens_it(here: Server) -> None:
    session, name = here.open()
    await here.windows.after("shop", report(name, in_flight=3), [], ended=[])
    assert (session.unsettled, here.opened.sessions) == (3, [session])


async def test_an_older_report_changes_nothing(here: Server) -> None:
    session, name = here.open()
    await here.windows.after("shop", report(name, in_flight=3, seq=2), [], ended=[])
    await here.windows.after("shop", report(name, in_flight=9, seq=1), [], ended=[])
    assert session.unsettled == 3


async def test_another_principal_cannot_speak_for_a_session(here: Server) -> None:
    session, name = here.open("shop")
    await here.windows.after("mallory", report(name, in_flight=9), [], ended=[])
    assert (session.unsettled, here.opened.sessions, here.sent) == (0, [], [])


async def test_a_report_that_comes_to_another_server_reaches_its_session(here: Server) -> None:
    there = Server("there")
    session, name = there.open()
    await here.windows.after("shop", report(name, in_flight=4), [], ended=[])
    ((server_id, message),) = here.sent
    assert server_id == "there"
    there.windows.forwarded(message)
    assert (session.unsettled, there.opened.sessions) == (4, [session])


async def test_a_report_passes_by_the_stream_that_its_session_left_here(here: Server) -> None:
    """The worker's stream went to another server, and this one keeps the former session for its grace."""
    former, former_name = here.open()
    there = Server("there")
    session = there.sessions.open(former_name, "shop", TERMS, 0)
    name = there.sessions.name(session)
    await here.windows.after("shop", report(name, in_flight=4), [], ended=[])
    assert (former.unsettled, here.opened.sessions) == (0, [])
    there.windows.forwarded(here.sent[0][1])
    assert (session.unsettled, there.opened.sessions) == (4, [session])


async def test_a_forwarded_report_of_another_principal_changes_nothing(here: Server) -> None:
    there = Server("there")
    session, name = there.open("shop")
    await here.windows.after("mallory", report(name, in_flight=4), [], ended=[])
    there.windows.forwarded(here.sent[0][1])
    assert session.unsettled == 0


async def test_a_report_that_cannot_be_forwarded_fails_no_call(here: Server) -> None:
    here.away = True
    await here.windows.after("shop", report("there.key", in_flight=4), [], ended=[])
    assert not here.sent


def test_an_empty_message_says_only_that_the_channel_is_open(here: Server) -> None:
    here.windows.forwarded(b"")
    assert not here.opened.sessions


async def test_a_settle_without_a_report_counts_the_window_down(here: Server) -> None:
    session, _ = here.open()
    token, ids = os.urandom(16), [os.urandom(16) for _ in range(3)]
    session.track("q", token, ids)
    here.sessions.register(token, session)
    session.unsettled = 3
    ended = [Lease(id_, token) for id_ in ids[:2]]
    await here.windows.after("shop", None, ended, ended=ended)
    assert (session.unsettled, session.tracked) == (1, 1)
    assert here.opened.sessions == [session]
