"""Starts and stops the whole HTTP side: a private way into the gRPC server, the gateway on it, and the listeners."""

import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from relay_server.config import Config
from relay_server.contract.services import SERVICES
from relay_server.gateway.admitting.json_limits import JsonLimits
from relay_server.gateway.admitting.refusals import compact
from relay_server.gateway.describing.openapi import openapi
from relay_server.gateway.listening.connections import ConnectionLimits
from relay_server.gateway.listening.serve import HttpListener, serve_http
from relay_server.gateway.pages.http_app import PageLink, Probes, make_http_app, probe_routes
from relay_server.gateway.pages.metrics_page import PATH as METRICS
from relay_server.gateway.pages.metrics_page import guarded_metrics, make_metrics_app
from relay_server.gateway.pages.static import static_routes
from relay_server.gateway.signing_in.credentials import cookie_name
from relay_server.gateway.signing_in.sign_in import SignIn
from relay_server.gateway.transcoding.transcode import Gateway, GatewayLimits
from relay_server.observability.exposition import Exposition
from relay_server.observability.metrics import Metrics
from relay_server.ports import split_address
from relay_server.security.gate import Gate

API = "/api"
_SCRAPERS_MAX = 64


class HttpEdge:
    """The running HTTP side. `host` and `port` are where it listens."""

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
    exposition: Exposition,
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
            probes=probes,
            version=version,
            bind_host=host,
            more_hosts=config.http_allowed_host,
            routes=[
                SignIn(gate, tls=tls is not None, body_within_s=config.http_header_timeout_s).route,
                Mount(API, app=gateway),
                Route(METRICS, guarded_metrics(exposition, gate, cookie)),
                Route("/openapi.json", _document(openapi(gateway.routes, version=version))),
                *static_routes(),
            ],
            links=[
                PageLink(path=METRICS, text="Metrics for Prometheus."),
                PageLink(path="/openapi.json", text="The HTTP API, as OpenAPI 3.1."),
                PageLink(path="/api/v1/server", text="What this server is, allows and runs on."),
                PageLink(path="/api/v1/stats", text="All queues, now."),
            ],
        )
        listener = await serve_http(
            app,
            host,
            int(port),
            tls,
            limits=connections_of(config),
            observe=metrics.set_http_connections,
        )
        return HttpEdge(listener, gateway, folder)
    except BaseException:
        if gateway is not None:
            await gateway.aclose()
        folder.cleanup()
        raise


async def start_metrics(
    config: Config, *, exposition: Exposition, probes: Probes, tls: ssl.SSLContext | None = None
) -> HttpListener:
    """Listens on `config.metrics`. Raises PortUnavailable."""
    host, port = split_address(config.metrics)
    app = make_metrics_app(exposition, probe_routes(probes))
    limits = replace(connections_of(config), connections=_SCRAPERS_MAX, per_address=_SCRAPERS_MAX)
    return await serve_http(app, host, int(port), tls, option="--metrics", limits=limits)


def _document(document: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    content = compact(document)

    async def serve(_request: Request) -> Response:
        return Response(content, headers={"content-type": "application/json"})

    return serve


def connections_of(config: Config) -> ConnectionLimits:
    return ConnectionLimits(
        connections=config.http_connections_max,
        per_address=config.http_connections_per_address_max,
        header_s=config.http_header_timeout_s,
        idle_s=config.http_idle_timeout_s,
        write_s=config.http_write_timeout_s,
    )


def limits_of(config: Config) -> GatewayLimits:
    return GatewayLimits(
        body_bytes_max=config.http_body_bytes_max,
        held_bytes_max=config.http_held_bytes_max,
        json=JsonLimits(depth=config.http_json_depth_max, values=config.http_json_values_max),
        timeout_default_s=config.http_timeout_default_s,
        timeout_max_s=config.http_timeout_max_s,
        streams_max=config.http_streams_max,
    )
