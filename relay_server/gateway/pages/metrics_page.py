"""`/metrics`: guarded on the HTTP listener, open on the listener of `--metrics`."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay_server import errors
from relay_server.contract import status
from relay_server.gateway.admitting.guard import SecurityHeaders, client_address, note_refused
from relay_server.gateway.admitting.refusals import Refused, response_of
from relay_server.gateway.signing_in.credentials import authorizations
from relay_server.observability.exposition import Exposition
from relay_server.observability.metrics import CONTENT_TYPE
from relay_server.security.gate import Gate, bearer_of
from relay_server.security.principals import ANYONE, Role

PATH = "/metrics"

Endpoint = Callable[[Request], Awaitable[Response]]


def open_metrics(exposition: Exposition) -> Endpoint:
    """The metrics, for any caller."""

    async def serve(request: Request) -> Response:
        headers = {"content-type": CONTENT_TYPE, "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(await exposition.packed(), headers=headers | {"content-encoding": "gzip"})
        return Response(await exposition.text(), headers=headers)

    return serve


def guarded_metrics(exposition: Exposition, gate: Gate, cookie: str) -> Endpoint:
    """The metrics, for viewers of every queue: they name each one. Without tokens, for any caller."""
    serve = open_metrics(exposition)

    async def guarded(request: Request) -> Response:
        address, principal = client_address(request), ANYONE
        try:
            if gate.tokens is not None:
                given = [("authorization", value) for value in authorizations(request, cookie)]
                principal = gate.whose(bearer_of(given))
                gate.count(principal)
            if not principal.may_everywhere(Role.VIEWER):
                text = f'{principal.name} is not viewer of every queue ("*"), and the metrics name them all'
                raise errors.PermissionDenied(text, metadata={"role": Role.VIEWER.value, "queue": "*"})
        except errors.RelayError as error:
            code = status.TABLE[type(error)][0].name
            await note_refused(gate.audit, PATH, address, code, principal)
            return response_of(Refused(status.to_status(error)))
        return await serve(request)

    return guarded


def make_metrics_app(exposition: Exposition, probes: list[BaseRoute]) -> ASGIApp:
    """The application of the `--metrics` listener."""
    app = Starlette(routes=[Route(PATH, open_metrics(exposition)), *probes])
    app.router.redirect_slashes = False
    return SecurityHeaders(app)
