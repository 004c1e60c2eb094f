"""Starts and stops the whole HTTP side: a private way into the gRPC server, the gateway on it, and the listener."""

import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from relay_server.config import Config, split_address
from relay_server.gateway.contract import SERVICES
from relay_server.gateway.credentials import cookie_name
from relay_server.gateway.http_app import Link, Probes, make_http_app
from relay_server.gateway.json_limits import JsonLimits
from relay_server.gateway.openapi import openapi
from relay_server.gateway.refusals import compact
from relay_server.gateway.serve import HttpListener, serve_http
from relay_server.gateway.session import Session
from relay_server.gateway.static import static_routes
from relay_server.gateway.transcode import Gateway, GatewayLimits
from relay_server.observability.metrics import Metrics
from relay_server.security.gate import Gate

API = "/api"


class HttpEdge:
    """What runs between `start_http` and `stop`. `host` and `port` are where it listens."""

    def __init__(
        self, listener: HttpListener, gateway: Gateway, folder: "tempfile.TemporaryDirectory[str]"
    ) -> None:
        self.host, self.port = listener.host, listener.port
        self._listener = listener
        self._gateway = gateway
        self._folder = folder

    async def stop(self) -> None:
        """Accepts nothing more, gives open requests 2 s, and returns when all is closed."""
        await self._listener.stop()
        await self._gateway.aclose()
        self._folder.cleanup()


async def start_http(
    config: Config,
    *,
    bind_grpc: Callable[[str], int],
    metrics: Metrics,
    probes: Probes,
    version: str,
    gate: Gate,
    tls: ssl.SSLContext | None = None,
) -> HttpEdge:
    """Listens on `config.http`. Call it before the gRPC server starts: `bind_grpc` gives that one more address, a
    socket in a folder that only this user can enter. Raises PortUnavailable.
    """
    folder = tempfile.TemporaryDirectory(prefix="relay-http-")
    gateway = None
    try:
        address = f"unix:{Path(folder.name, 'grpc.sock')}"
        bind_grpc(address)
        cookie = cookie_name(tls=tls is not None)
        gateway = Gateway(
            SERVICES, address, limits_of(config), gate=gate, cookie=cookie, observe=metrics.grpc_handled
        )
        host, port = split_address(config.http)
        app = make_http_app(
            metrics=metrics,
            probes=probes,
            version=version,
            bind_host=host,
            more_hosts=config.http_allowed_host,
            routes=[
                Session(gate, tls=tls is not None, body_within_s=config.http_timeout_max_s).route,
                Mount(API, app=gateway),
                Route("/openapi.json", _document(openapi(gateway.routes, version=version))),
                *static_routes(),
            ],
            links=[
                Link(path="/openapi.json", text="The HTTP API, as OpenAPI 3.1."),
                Link(path="/api/v1/server", text="What this server is, allows and runs on."),
                Link(path="/api/v1/stats", text="All queues, now."),
            ],
        )
        return HttpEdge(await serve_http(app, host, int(port), tls), gateway, folder)
    except BaseException:
        if gateway is not None:
            await gateway.aclose()
        folder.cleanup()
        raise


def _document(document: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    content = compact(document)

    async def serve(_request: Request) -> Response:
        return Response(content, headers={"content-type": "application/json"})

    return serve


def limits_of(config: Config) -> GatewayLimits:
    return GatewayLimits(
        body_bytes=config.http_body_bytes_max,
        json=JsonLimits(depth=config.http_json_depth_max, values=config.http_json_values_max),
        timeout_default_s=config.http_timeout_default_s,
        timeout_s=config.http_timeout_max_s,
        streams=config.http_streams_max,
    )
