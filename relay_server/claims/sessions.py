"""All sessions of this server: by key, and by the lease tokens that they were given."""

import secrets
from collections.abc import Iterable, Iterator

from relay_server.claims.parcel import Parcel
from relay_server.claims.rooms import Rooms
from relay_server.claims.session import Session, Terms


class Sessions:
    """All sessions of this server, by key and by token. A session's id is the server's name and its key."""

    def __init__(self, server_id: str, rooms: Rooms | None = None) -> None:
        self._server_id = server_id
        self.rooms = rooms or Rooms()
        self._by_key: dict[str, Session] = {}
        self._by_token: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_key.values()))

    def name(self, session: Session) -> str:
        return f"{self._server_id}.{session.key}"

    def split(self, session_id: str) -> tuple[str, str]:
        """(server id, key) of a session id, wherever it was given out."""
        server_id, _, key = session_id.rpartition(".")
        return server_id, key

    def open(self, session_id: str, principal: str, terms: Terms, in_flight: int) -> Session:
        """The session of a new stream: the principal's own here, one that comes from another server, or a new one."""
        session = self.find(session_id, principal)
        if session is None:
            key = self.split(session_id)[1]
            if not key or key in self._by_key:  # that one is another principal's
                key = secrets.token_hex(12)
            session = self._by_key[key] = Session(key, terms, principal, room=self.rooms.of(principal))
        session.reopen(terms, in_flight)
        return session

    def find(self, session_id: str, principal: str) -> Session | None:
        """The session, if it is this principal's."""
        session = self._by_key.get(self.split(session_id)[1])
        return session if session is not None and session.principal == principal else None

    @property
    def tokens(self) -> int:
        """How many lease tokens it follows."""
        return len(self._by_token)

    def register(self, token: bytes, session: Session) -> None:
        self._by_token[token] = session

    def holder(self, token: bytes) -> Session | None:
        """The session of this server that was given this token."""
        return self._by_token.get(token)

    def forget(self, token: bytes, ids: Iterable[bytes], *, counted: bool) -> Session | None:
        """As Session.forget. Returns the session that was given the token, when it is ours."""
        session = self._by_token.get(token)
        if session is not None:
            session.forget(token, ids, counted=counted)
            if token not in session.groups:
                del self._by_token[token]
        return session

    def withdraw(self, session: Session, parcel: Parcel) -> bool:
        """The jobs of a parcel are not the worker's, because they were not written. True when that makes room."""
        self.forget(parcel.token, [job.id for job in parcel.jobs], counted=True)
        return session.withdraw(parcel)

    def remove(self, session: Session) -> None:
        for token in session.groups:
            self._by_token.pop(token, None)
        if self._by_key.get(session.key) is session:
            del self._by_key[session.key]
