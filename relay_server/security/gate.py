"""Lets calls in or not: authenticates the caller, authorises the call, keeps to the limits of each principal."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from relay_server import errors
from relay_server.security.audit import Audit
from relay_server.security.peers import Peers
from relay_server.security.permissions import OPEN, RULES
from relay_server.security.principals import ANYONE, Principal, caller
from relay_server.security.tokens import Tokens

_SCHEME = "bearer "
_MALFORMED = "?"  # nobody's token; not empty, or a certificate would count in its place


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalLimits:
    """What one principal may use of this server: streams at once, streams opened and calls a second (0: no limit)."""

    streams: int
    calls_per_s: float
    opens_per_s: float = 0.0


class Gate:
    """Without `tokens` it asks nobody, and everybody is ANYONE."""

    def __init__(self, tokens: Tokens | None, limits: PrincipalLimits) -> None:
        self.tokens = tokens
        self.audit = Audit()
        self.peers = Peers()
        self._limits = limits
        self._streams: dict[str, int] = {}
        self._calls, self._opens = _Buckets(), _Buckets()

    @property
    def reads_certificates(self) -> bool:
        """Whether the names of a client's certificate may tell who calls."""
        return self.tokens is not None and self.tokens.knows_certificates

    def authenticate(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], names: Sequence[str] = ()
    ) -> Principal:
        """Who calls; `names` are those of the client's certificate, for a call without a token.

        Raises Unauthenticated.
        """
        if self.tokens is None or method.startswith(OPEN):
            return ANYONE
        principal = self.whose(bearer_of(metadata), names)
        caller.set(principal)
        return principal

    def whose(self, token: str, names: Sequence[str] = ()) -> Principal:
        """The principal of a bearer token, or without one of a certificate; ANYONE where nobody is asked.

        Raises Unauthenticated.
        """
        if self.tokens is None:
            return ANYONE
        if not token and (known := self.tokens.of_certificate(names)) is not None:
            return known
        if not token:
            raise errors.Unauthenticated(
                "this server asks who calls: send the metadata authorization: Bearer TOKEN (--token or RELAY_TOKEN "
                "of relay and relay-worker)"
            )
        principal = self.tokens.authenticate(token)
        if principal is None:
            raise bad_token()
        return principal

    def authorise(self, principal: Principal, method: str, request: Any) -> None:
        """Raises PermissionDenied unless the principal has the call's role on every queue that the request names."""
        if principal is ANYONE:
            return
        rule = RULES.get(method)
        if rule is None:  # nothing is open that nobody decided about; a test keeps the table whole
            raise errors.PermissionDenied(f"{method} is open to nobody")
        if not principal.may_somewhere(rule.role):  # first, for the request may name ten thousand queues
            raise errors.PermissionDenied(
                f"{principal.name} is not {rule.role.value} of any queue", metadata={"role": rule.role.value}
            )
        for queue in rule.queues(request):
            # One without a name is the handler's to refuse.
            if queue and not principal.may(rule.role, queue):
                raise errors.PermissionDenied(
                    f"{principal.name} is not {rule.role.value} of queue {queue[:128]!r}",
                    metadata={"role": rule.role.value, "queue": queue[:128]},
                )

    def still(self, principal: Principal, token: str, names: Sequence[str] = ()) -> bool:
        """Whether the token, or certificate, still gives this principal's name and roles."""
        try:
            now = self.whose(token, names)
        except errors.Unauthenticated:
            return False
        return (now.name, now.grants) == (principal.name, principal.grants)

    @contextmanager
    def stream_of(self, principal: Principal) -> Iterator[None]:
        """Counts a stream while it lasts. Raises Overloaded for one too many."""
        if principal is ANYONE:
            yield
            return
        name = principal.name
        if self._streams.get(name, 0) >= self._limits.streams:
            raise errors.Overloaded(
                f"{name} has {self._limits.streams} streams on this server, as many as one principal may "
                "(--principal-streams-max)",
                metadata={"subject": f"principal:{name}"},
                retry_after_ms=1000,
            )
        self._count_open(name)
        self._streams[name] = self._streams.get(name, 0) + 1
        try:
            yield
        finally:
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]

    def _count_open(self, name: str) -> None:
        """Opening and closing costs more than a stream that stays. All the streams one may have may open at once."""
        rate = self._limits.opens_per_s
        wait_ms = self._opens.take(name, rate, burst=max(rate, float(self._limits.streams))) if rate else 0
        if wait_ms:
            raise errors.Overloaded(
                f"{name} opens more than {rate:g} streams a second on this server (--principal-opens-per-s)",
                metadata={"subject": f"principal:{name}"},
                retry_after_ms=wait_ms,
            )

    def count(self, principal: Principal) -> None:
        """Counts a call. Raises Overloaded when that principal calls too often."""
        rate = self._limits.calls_per_s
        if not rate or principal is ANYONE:
            return
        wait_ms = self._calls.take(principal.name, rate, burst=max(rate, 1.0))
        if wait_ms:
            raise errors.Overloaded(
                f"{principal.name} makes more than {rate:g} calls a second on this server (--principal-calls-per-s)",
                metadata={"subject": f"principal:{principal.name}"},
                retry_after_ms=wait_ms,
            )


class _Buckets:
    """A token bucket for each principal; there are as many principals as the tokens file names."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_s: float, *, burst: float) -> int:
        """Takes one token: 0, or in how many ms there is one again."""
        now = time.monotonic()
        left, then = self._buckets.get(name, (burst, now))
        left = min(burst, left + (now - then) * per_s)
        taken = left >= 1
        self._buckets[name] = (left - 1 if taken else left, now)
        return 0 if taken else int((1 - left) / per_s * 1000) + 1


def bad_token() -> errors.Unauthenticated:
    return errors.Unauthenticated("this token is malformed, unknown, revoked or expired; ask for a new one")


def bearer_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token of a call's metadata: empty when it has no authorization, no token at all when that is malformed."""
    values = [value for name, value in metadata if name == "authorization"]
    if not values:
        return ""
    if len(values) > 1 or not isinstance(values[0], str) or values[0][:7].lower() != _SCHEME:
        return _MALFORMED
    return values[0][7:].strip() or _MALFORMED


def names_of(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The DNS names and URIs for which a client's checked certificate was issued. Its common name is text for people,
    and its addresses say where somebody is, not who."""
    issued = (*auth_context.get("peer_dns", ()), *auth_context.get("peer_uri", ()))
    return [name.decode("utf-8", "replace") for name in issued]
