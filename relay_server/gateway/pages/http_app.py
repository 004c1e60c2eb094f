"""The application of the `--http` listener: probes, a page of links at `/about`, and routes of other parts."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.rpc import code_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay_server.gateway.admitting.guard import HostAllowList, SecurityHeaders, allowed_hosts
from relay_server.gateway.admitting.refusals import refused, response_of
from relay_server.storage import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The facts that readiness depends on.

    `serving` is False while the server starts or drains. `health` is the store's health as last seen, about a second
    ago, so that a probe costs the store nothing. `stale` names outdated credentials; empty: none.
    """

    serving: Callable[[], bool]
    health: Callable[[], Health]
    stale: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """A line of the page of links."""

    path: str
    text: str


_LINKS = (
    PageLink(path="/healthz", text="Is the process alive? Never depends on Redis."),
    PageLink(
        path="/readyz",
        text="Does it take work? Depends on Redis, and on its tokens and certificate being current.",
    ),
)


def make_http_app(
    *,
    probes: Probes,
    version: str,
    bind_host: str,
    more_hosts: Sequence[str] = (),
    routes: Sequence[BaseRoute] = (),
    links: Sequence[PageLink] = (),
) -> ASGIApp:
    """The application; `routes` and `links` come from other parts, such as the transcoder."""
    page = _page(version, [*_LINKS, *links])

    async def about(_request: Request) -> Response:
        return HTMLResponse(page)

    app = Starlette(
        routes=[
            *probe_routes(probes),
            *routes,
            Route("/about", about),
        ],
        middleware=[Middleware(HostAllowList, hosts=allowed_hosts(bind_host, more_hosts))],
        exception_handlers={HTTPException: _http_error, Exception: _defect},
    )
    # No redirects: each page has one address, and a redirect would say http even behind a proxy with TLS.
    app.router.redirect_slashes = False
    return SecurityHeaders(app)  # outermost, so that the answer to a defect has the headers too


def probe_routes(probes: Probes) -> list[BaseRoute]:
    """`/healthz` and `/readyz`."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> Response:
        return _readiness(probes)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _readiness(probes: Probes) -> Response:
    if not probes.serving():
        return JSONResponse({"ready": False, "reason": "the server is starting or shutting down"}, 503)
    if stale := probes.stale():
        return JSONResponse({"ready": False, "reason": stale}, 503)
    health = probes.health()
    if health.trouble is not None:
        reason = f"Redis does not take writes: {health.trouble.value}"
        return JSONResponse({"ready": False, "reason": reason, "detail": health.detail}, 503)
    return JSONResponse({"ready": True})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        text = f"{request.method} is not allowed here; use {headers.get('Allow')}"
        return response_of(refused(405, code_pb2.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", text, headers))
    text = f"nothing is at {request.url.path[:200]}; /about lists what is here"
    return response_of(refused(404, code_pb2.NOT_FOUND, "UNKNOWN_ROUTE", text))


async def _defect(_request: Request, _error: Exception) -> Response:
    # The error goes to the log; its text is not for callers.
    text = "internal error; the server's log has the details"
    return response_of(refused(500, code_pb2.INTERNAL, "INTERNAL", text))


def _page(version: str, links: Sequence[PageLink]) -> str:
    lines = "\n".join(
        f'<li><a href="{html.escape(link.path)}">{html.escape(link.path)}</a>: {html.escape(link.text)}</li>'
        for link in links
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Relay</title></head><body>\n'
        f"<h1>Relay {html.escape(version)}</h1>\n<ul>\n{lines}\n</ul>\n</body></html>\n"
    )
