"""Admits or refuses calls: authenticates the caller, authorises the call, enforces the limits of each principal."""

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
_CLAIM, _WATCH = "/relay.v1.QueueService/Claim", "/relay.v1.AdminService/WatchStats"
_COUNTED = (
    ("streams", "streams", "--principal-streams-max"),
    ("subscriptions", "queues over its claim streams", "--principal-subscriptions-max"),
    ("watches", "streams that watch queues", "--principal-watches-max"),
)
_COME_BACK_WITHIN_S = 10.0
_MALFORMED = "?"  # matches no token; not empty, because then the client's certificate would be used instead


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalLimits:
    """Limits of one principal on this server; 0: no limit.

    At once: open streams, queues over all its claim streams (`subscriptions`), streams that watch queues (`watches`).
    A second: calls, and streams opened.
    """

    streams: int
    calls_per_s: float
    opens_per_s: float = 0.0
    subscriptions: int = 0
    watches: int = 0


@dataclass(slots=True)
class _Use:
    """The counts that a principal's open streams add up to."""

    streams: int = 0
    subscriptions: int = 0
    watches: int = 0

    def change(self, by: "_Use", sign: int) -> None:
        self.streams += sign * by.streams
        self.subscriptions += sign * by.subscriptions
        self.watches += sign * by.watches


class Gate:
    """Without `tokens` no caller is asked for credentials, and every caller is ANYONE."""

    def __init__(self, tokens: Tokens | None, limits: PrincipalLimits) -> None:
        self.tokens = tokens
        self.audit = Audit()
        self.peers = Peers()
        self._limits = limits
        self._used: dict[str, _Use] = {}
        self._calls, self._opens = _Buckets(), _Buckets()

    @property
    def reads_certificates(self) -> bool:
        """Whether a client's certificate can authenticate it."""
        return self.tokens is not None and self.tokens.knows_certificates

    @property
    def streaming(self) -> frozenset[str]:
        """The principals with an open stream."""
        return frozenset(self._used)

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
        """The principal of a bearer token, else of a certificate; ANYONE when the server has no tokens.

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
        if rule is None:  # an RPC without a rule is closed; a test checks that each RPC has one
            raise errors.PermissionDenied(f"{method} is open to nobody")
        if not principal.may_somewhere(rule.role):  # before the loop, as a request may name 10 000 queues
            raise errors.PermissionDenied(
                f"{principal.name} is not {rule.role.value} of any queue", metadata={"role": rule.role.value}
            )
        for queue in rule.queues(request):
            # An empty name is refused by the handler.
            if queue and not principal.may(rule.role, queue):
                raise errors.PermissionDenied(
                    f"{principal.name} is not {rule.role.value} of queue {queue[:128]!r}",
                    metadata={"role": rule.role.value, "queue": queue[:128]},
                )

    def still(self, principal: Principal, token: str, names: Sequence[str] = ()) -> bool:
        """Whether the token or certificate still stands for this principal with the same roles."""
        try:
            now = self.whose(token, names)
        except errors.Unauthenticated:
            return False
        return (now.name, now.grants) == (principal.name, principal.grants)

    @contextmanager
    def stream_of(self, principal: Principal, method: str, request: Any = None) -> Iterator[None]:
        """Counts a stream and its queues while it is open. Raises Overloaded over a limit."""
        if principal is ANYONE:
            yield
            return
        used = self._used.get(principal.name) or _Use()
        wanted = _Use(
            streams=1,
            subscriptions=len(request.queues) if method == _CLAIM else 0,
            watches=1 if method == _WATCH else 0,
        )
        self._check(principal.name, used, wanted)
        self._count_open(principal.name)
        self._used[principal.name] = used
        used.change(wanted, 1)
        try:
            yield
        finally:
            used.change(wanted, -1)
            if not used.streams:
                del self._used[principal.name]

    def _check(self, name: str, used: _Use, wanted: _Use) -> None:
        for what, many, option in _COUNTED:
            most = getattr(self._limits, what)
            if most and getattr(wanted, what) and getattr(used, what) + getattr(wanted, what) > most:
                raise errors.Overloaded(
                    f"{name} has {getattr(used, what)} {many} on this server, and one principal may have {most} "
                    f"({option})",
                    metadata={"subject": f"principal:{name}"},
                    retry_after_ms=1000,
                )

    def _count_open(self, name: str) -> None:
        """Bounds streams opened a second: opening costs more than keeping. The burst is the limit of open streams."""
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
    """A token bucket for each principal. Their number is bounded by the tokens file."""

    def __init__(self) -> None:
        # (tokens, when that was, the latest time at which a refused caller was told to come back), times monotonic.
        self._buckets: dict[str, tuple[float, float, float]] = {}

    def take(self, name: str, per_s: float, *, burst: float) -> int:
        """Takes a token and returns 0, or returns in how many ms to come back.

        Each refused caller gets a later time, so that a fleet that reconnects does not come back at one moment.
        """
        now = time.monotonic()
        left, then, named = self._buckets.get(name, (burst, now, 0.0))
        left = min(burst, left + (now - then) * per_s)
        if left >= 1:
            self._buckets[name] = (left - 1, now, named)
            return 0
        named = min(max(now + (1 - left) / per_s, named + 1 / per_s), now + _COME_BACK_WITHIN_S)
        self._buckets[name] = (left, now, named)
        return int((named - now) * 1000) + 1


def bad_token() -> errors.Unauthenticated:
    return errors.Unauthenticated("this token is malformed, unknown, revoked or expired; ask for a new one")


def bearer_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token in a call's metadata; empty without `authorization`, _MALFORMED when that holds no bearer token."""
    values = [value for name, value in metadata if name == "authorization"]
    if not values:
        return ""
    if len(values) > 1 or not isinstance(values[0], str) or values[0][:7].lower() != _SCHEME:
        return _MALFORMED
    return values[0][7:].strip() or _MALFORMED


def names_of(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The DNS names and URIs of a client's checked certificate.

    Its common name does not count: that is text for people. Its IP addresses do not count: they say where a client is,
    not who.
    """
    issued = (*auth_context.get("peer_dns", ()), *auth_context.get("peer_uri", ()))
    return [name.decode("utf-8", "replace") for name in issued]
