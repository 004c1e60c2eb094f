"""Security headers of every answer; the Host and Origin checks that keep pages of other sites out."""

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence

from google.rpc import code_pb2
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_server.gateway.admitting.refusals import refused, response_of
from relay_server.security.audit import Audit
from relay_server.security.principals import ANYONE, Principal

# Probes and scrapers use any name of this host, and these answers hold nothing that a page could misuse.
PROBES = frozenset({"/healthz", "/readyz"})
EXEMPT_PATHS = PROBES | {"/metrics"}

REFUSED_WAIT_S = 0.5

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class SecurityHeaders:
    """Adds the headers that no route set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_guarded)


_FOREIGN_HOST = refused(
    421,
    code_pb2.PERMISSION_DENIED,
    "FOREIGN_HOST",
    "this Host is not allowed; start relay-server with --http-allowed-host NAME to allow it",
)


class HostAllowList:
    """Refuses a Host that is not ours: DNS rebinding has a browser call this server by the name of another site."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(normal_host(host) for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in EXEMPT_PATHS or self._allows(scope):
            await self._app(scope, receive, send)
            return
        await response_of(_FOREIGN_HOST)(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"host"]
        return len(values) == 1 and host_of(values[0].decode("latin-1")) in self._hosts


def is_foreign(request: Request) -> bool:
    """Whether a page of another site made a browser send this request. Programs send neither header."""
    headers = request.headers
    site = headers.get("sec-fetch-site", "same-origin")
    own = _is_own(headers.getlist("origin"), headers.get("host", ""), tls=request.scope["scheme"] == "https")
    return site not in {"same-origin", "none"} or not own


def check_origin(request: Request, audit: Audit, what: str) -> None:
    """Refuses a foreign request with 403 and writes it to the audit log. Raises Refused."""
    if not is_foreign(request):
        return
    audit.refused(what, client_address(request), "FOREIGN_ORIGIN")
    text = (
        "this request comes from a page of another site; Relay answers only to its own pages and to programs"
    )
    raise refused(403, code_pb2.PERMISSION_DENIED, "FOREIGN_ORIGIN", text)


async def note_refused(
    audit: Audit, what: str, address: str, result: str, principal: Principal = ANYONE
) -> None:
    """Writes a refused request to the audit log, and holds up an address that has too many of them.

    A flood then has to open more connections, and those are counted. Requests that are let in never wait here.
    """
    if not audit.refused(what, address, result, principal):
        await asyncio.sleep(REFUSED_WAIT_S)


def client_address(request: Request) -> str:
    """The other end of the connection, which may be a proxy."""
    return request.client.host if request.client else ""


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _is_own(origins: Sequence[str], host: str, *, tls: bool) -> bool:
    """Whether the Origin, if there is one, names the host that the request went to.

    An https page may call an http listener, behind a proxy that ends TLS; an http page may not call an https listener.
    """
    if not origins:
        return True
    scheme, _, place = origins[0].partition("://")
    port = _DEFAULT_PORTS.get(scheme) if scheme == "https" or not tls else None
    return (
        len(origins) == 1
        and port is not None
        and place.lower().removesuffix(port) == host.lower().removesuffix(port)
    )


def allowed_hosts(bind_host: str, more: Iterable[str]) -> list[str]:
    """Loopback names, the names in `more`, and `bind_host` unless it stands for every address."""
    try:
        anywhere = ipaddress.ip_address(bind_host).is_unspecified
    except ValueError:
        anywhere = False
    return [*_LOOPBACK, *([] if anywhere or not bind_host else [bind_host]), *more]


def host_of(header: str) -> str:
    """The name in a Host header, without its port; empty when it is malformed."""
    if header.startswith("["):
        address, bracket, port = header[1:].partition("]")
        valid = bracket and (not port or (port.startswith(":") and _is_port(port[1:])))
        return normal_host(address) if valid else ""
    name, colon, port = header.partition(":")
    return normal_host(name) if not colon or _is_port(port) else ""


def normal_host(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()
