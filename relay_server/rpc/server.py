"""The gRPC server: options, services, health by service, reflection, and its end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from relay.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    dead_letter_service_pb2,
    dead_letter_service_pb2_grpc,
    queue_service_pb2,
    queue_service_pb2_grpc,
)
from relay_server import limits
from relay_server.keda import externalscaler_pb2, externalscaler_pb2_grpc
from relay_server.ports import PortUnavailable, open_socket, split_address
from relay_server.rpc import accepting
from relay_server.rpc.admission import READERS_MAX, CallBounds
from relay_server.rpc.health_service import HealthService
from relay_server.rpc.interceptors import CallObserver, EdgeInterceptor
from relay_server.security.gate import Gate
from relay_server.security.tls import Tls

SERVICES = (
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"].full_name,
    dead_letter_service_pb2.DESCRIPTOR.services_by_name["DeadLetterService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    externalscaler_pb2.DESCRIPTOR.services_by_name["ExternalScaler"].full_name,
)
LIVENESS = "relay.liveness"  # serving as long as the process lives, with or without the store

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_WINDOW_BYTES = 64 << 10
# Calls that gRPC holds until this program takes them. It answers further ones with CANCELLED, which does not say when
# to come back, so this is high enough that the bounds of this program refuse first.
_UNSEEN_CALLS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """How many connections and calls the listener carries, and how long it waits for a message."""

    connections: int
    connection_calls: int
    calls: int
    message_within_s: float


def _options(most: GrpcLimits) -> Sequence[tuple[str, Any]]:
    return (
        ("grpc.so_reuseport", 0),  # two servers must not share a port unnoticed
        ("grpc.max_allowed_incoming_connections", most.connections),
        # Ends silent connections: without a handshake, without an answer to pings, without a call.
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        # Both ends state it: with keepalive alone a frozen peer was noticed after a minute, with it after seconds.
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_concurrent_streams", most.connection_calls),
        # Off, because it counts calls that were answered a moment ago, and so refuses honest ones.
        ("grpc.http.overload_protection", 0),
        # gRPC holds one window of a message that nobody reads yet. Windows that adapt by themselves grew to 512 MiB. A
        # message that is read gets a larger window at once, so distance slows only its first 64 KiB.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.server.max_pending_requests", _UNSEEN_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", _UNSEEN_CALLS_MAX),
        ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX),
        ("grpc.max_metadata_size", limits.METADATA_BYTES_MAX),
    )


# How long the end waits for answers that are being sent: for the first, and for each further one.
_LAST_ANSWERS_S = 0.5
_LAST_ANSWER_S = 0.001


class GrpcServer:
    """Serves Relay's services and KEDA's with health and reflection. Health starts as NOT_SERVING."""

    def __init__(
        self,
        queue: queue_service_pb2_grpc.QueueServiceServicer,
        dead_letters: dead_letter_service_pb2_grpc.DeadLetterServiceServicer,
        admin: admin_service_pb2_grpc.AdminServiceServicer,
        scaler: externalscaler_pb2_grpc.ExternalScalerServicer,
        *,
        observe: CallObserver,
        gate: Gate,
        most: GrpcLimits,
    ) -> None:
        bounds = CallBounds(calls=most.calls, readers=READERS_MAX, message_within_s=most.message_within_s)
        self._edge = EdgeInterceptor(observe, gate, bounds)
        self.end_refused_streams = self._edge.end_refused_streams
        self._server = accepting.server(
            interceptors=[self._edge],
            options=_options(most),
            pace=self._edge.pace,
            connection_calls=most.connection_calls,
        )
        self._health = HealthService()
        queue_service_pb2_grpc.add_QueueServiceServicer_to_server(queue, self._server)
        dead_letter_service_pb2_grpc.add_DeadLetterServiceServicer_to_server(dead_letters, self._server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
        externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server(scaler, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    def bind(self, address: str, tls: Tls | None = None) -> int:
        """Binds HOST:PORT (0: any free one) or unix:PATH; returns the port. Raises PortUnavailable."""
        try:
            if tls is not None:
                return self._server.add_secure_port(address, tls.port.credentials)
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            host, port = split_address(address)
            if not address.startswith("unix:"):  # gRPC does not say why; a socket of our own does
                open_socket(host, int(port), "--listen").close()
            raise PortUnavailable(f"--listen {address}: {error}") from error

    async def start(self) -> None:
        await self._server.start()
        await self._health.set(LIVENESS, _SERVING)
        await self.set_serving(serving=False)

    async def set_serving(self, *, serving: bool) -> None:
        """Readiness, for the server as a whole and by service."""
        for name in ("", *SERVICES):
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)

    async def stop(self, grace_s: float, *, ended: int = 0) -> None:
        """Takes no more calls and waits for those under way. End idle streams first: they would wait out the grace.

        `ended` says how many ended a moment ago. Once all handlers are done only clients that do not read, or that
        watch the health, are left: those are cut off.
        """
        await self._health.enter_graceful_shutdown()
        self._edge.stop()
        last_s = _LAST_ANSWERS_S + (ended + self._edge.running) * _LAST_ANSWER_S
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        handled = asyncio.ensure_future(self._edge.idle())
        await asyncio.wait({stopping, handled}, return_when=asyncio.FIRST_COMPLETED)
        handled.cancel()
        await asyncio.wait({stopping}, timeout=last_s)
        await self._server.stop(None)
        await stopping
