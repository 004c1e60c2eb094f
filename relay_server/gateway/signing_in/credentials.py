"""Reads a request's credential: its Authorization header, or else the token in its cookie. It decides nothing."""

import re

from starlette.requests import Request

from relay_server.gateway.admitting.guard import is_foreign

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")


def cookie_name(*, tls: bool) -> str:
    """With the prefix, under TLS, browsers refuse a cookie that another host, another path or plain HTTP set."""
    return "__Host-relay_token" if tls else "relay_token"


def authorizations(request: Request, cookie: str) -> list[str]:
    """The values to send on as `authorization`. With a header, even a wrong one, the cookie does not count."""
    given = request.headers.getlist("authorization")
    if given:
        return given
    token = _cookie_token(request, cookie)
    return [f"Bearer {token}"] if token else []


def _cookie_token(request: Request, cookie: str) -> str:
    """The token of the cookie. Empty without a cookie, and with two that differ: another site set one of them.

    It counts for Relay's own pages only: a page on another port of this host sends it as well.
    """
    if is_foreign(request):
        return ""
    pairs = (
        part.strip().partition("=") for line in request.headers.getlist("cookie") for part in line.split(";")
    )
    found = {value for name, _, value in pairs if name == cookie}
    token = found.pop() if len(found) == 1 else ""
    return token if _TOKEN.fullmatch(token) else ""
