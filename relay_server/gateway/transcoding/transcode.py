"""The transcoder: serves each route by the gRPC call that google.api.http names, and its answer as JSON."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay_server import errors
from relay_server.contract import status
from relay_server.gateway.admitting import negotiation
from relay_server.gateway.admitting.bodies import read_body
from relay_server.gateway.admitting.budget import Budget, Share
from relay_server.gateway.admitting.guard import check_origin, client_address, note_refused
from relay_server.gateway.admitting.json_limits import BadJson, JsonLimits, read_json
from relay_server.gateway.admitting.refusals import Refused, compact, response_of
from relay_server.gateway.signing_in.credentials import authorizations
from relay_server.gateway.transcoding import payloads, streams
from relay_server.gateway.transcoding.binding import NO_BODY, request_of
from relay_server.gateway.transcoding.channel import Calls, metadata_of, status_of
from relay_server.gateway.transcoding.routes import Match, Method, Routes
from relay_server.security.brake import network_of
from relay_server.security.gate import Gate, bearer_of

_log = structlog.get_logger(__name__)

_WATCH = "/relay.v1.AdminService/WatchStats"
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """Limits of requests, in bytes, seconds and counts; each has an option of relay-server."""

    body_bytes_max: int
    held_bytes_max: int
    json: JsonLimits = field(default_factory=JsonLimits)
    timeout_default_s: float
    timeout_max_s: float
    streams_max: int
    heartbeat_s: float = 15.0


class Gateway:
    """An ASGI application that serves every RPC of `services` that has an http option, by calling `address`."""

    def __init__(
        self,
        services: Sequence[ServiceDescriptor],
        address: str,
        limits: GatewayLimits,
        *,
        gate: Gate,
        cookie: str,
        observe: Callable[[str, str, float], None],
    ) -> None:
        """`cookie` is the name of the cookie with the token; `observe` counts calls that are refused here."""
        self.routes = Routes(services)
        self._limits = limits
        self._gate = gate
        self._cookie = cookie
        self._observe = observe
        self._calls = Calls(address, {route.method.path: route.method for route in self.routes.all}.values())
        self._budget = Budget(limits.held_bytes_max)
        self._streams = 0
        self._last_shown: tuple[bytes, bytes] = (b"", b"")

    async def aclose(self) -> None:
        await self._calls.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response: Response | None = None
        try:
            await self._serve(request, send)
        except Refused as refusal:
            response = response_of(refusal)
        except errors.RelayError as error:
            response = response_of(Refused(status.to_status(error)))
        except ClientDisconnect:
            return
        if response is not None:
            await response(scope, receive, send)

    async def _serve(self, request: Request, send: Send) -> None:
        match = self.routes.find(request.method, request.scope["raw_path"].decode("ascii", "replace"))
        method = match.route.method
        if request.method in _UNSAFE:
            check_origin(request, self._gate.audit, method.path)
        # Before the body is read, which anybody may send.
        caller, credentials = await self._credentials(request, method)
        offered = streams.FRAMINGS if method.streams else (negotiation.JSON,)
        media = negotiation.chosen(",".join(request.headers.getlist("accept")), offered)
        timeout_s = self._timeout_s(request.headers, method)
        with self._budget.share(caller) as share:
            message = await self._message(request, match, share)
            call = self._calls(method, message, [*metadata_of(request), *credentials], timeout_s)
            answer = None if method.streams else await self._answered(call, match, timeout_s)
        if answer is None:
            await self._stream(call, match, media, timeout_s, request, send, caller)
            return
        with self._budget.share(caller, len(answer)):
            response = Response(answer, headers={"content-type": negotiation.JSON})
            await response(request.scope, request.receive, send)

    async def _answered(self, call: Any, match: Match, timeout_s: float | None) -> bytes:
        try:
            return self._shown(match, await call)
        except grpc.aio.AioRpcError as error:
            raise Refused(status_of(error, timeout_s)) from None

    async def _credentials(self, request: Request, method: Method) -> tuple[str, list[tuple[str, str]]]:
        """The caller (its principal, or its address without tokens), and its metadata. Raises Unauthenticated."""
        started, address = time.perf_counter(), client_address(request)
        peer = self._gate.peers.metadata(address)
        if self._gate.tokens is None:
            return network_of(address), [peer]
        given = [("authorization", value) for value in authorizations(request, self._cookie)]
        try:
            principal = self._gate.whose(bearer_of(given))
        except errors.Unauthenticated:
            self._observe(method.path, "UNAUTHENTICATED", time.perf_counter() - started)
            await note_refused(self._gate.audit, method.path, address, "UNAUTHENTICATED")
            raise
        return principal.name, [peer, *given]

    def _timeout_s(self, headers: Headers, method: Method) -> float | None:
        wanted = negotiation.timeout_s(headers.get("grpc-timeout"), headers.get("x-relay-timeout"))
        if method.streams:
            return wanted
        return min(wanted or self._limits.timeout_default_s, self._limits.timeout_max_s)

    async def _message(self, request: Request, match: Match, share: Share) -> bytes:
        method, limits = match.route.method, self._limits
        bytes_max = min(limits.body_bytes_max, method.json_bytes_max)
        raw = await read_body(request, bytes_max=bytes_max, within_s=limits.timeout_max_s, share=share)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        negotiation.check_body_type(request.headers.get("content-type"), encoding, empty=not raw)
        body = NO_BODY
        if raw:
            try:
                body = read_json(raw, limits.json.at_most(method.json_values_max))
            except BadJson as error:
                raise errors.InvalidField([("body", str(error))]) from None
        key = negotiation.idempotency_key(request.headers.get("idempotency-key"))
        message = request_of(match, request.scope["query_string"], body, idempotency_key=key)
        return message.SerializeToString()

    async def _stream(
        self,
        call: Any,
        match: Match,
        media: str,
        timeout_s: float | None,
        request: Request,
        send: Send,
        caller: str,
    ) -> None:
        if self._streams >= self._limits.streams_max:
            call.cancel()
            text = f"this server has {self._streams} HTTP streams open, which is its limit"
            raise errors.Overloaded(text, retry_after_ms=1000)
        self._streams += 1
        try:
            await streams.stream(
                call,
                streams.FRAMINGS[media],
                shown=lambda raw: self._shown_cached(match, raw),
                status_of=lambda error: status_of(error, timeout_s),
                heartbeat_s=self._limits.heartbeat_s,
                holding=lambda size: self._budget.share(caller, size),
                receive=request.receive,
                send=send,
            )
        finally:
            self._streams -= 1

    def _shown(self, match: Match, raw: bytes) -> bytes:
        """The JSON of an answer."""
        message = match.route.method.response.FromString(raw)
        shown: Any = json_format.MessageToDict(message)
        payloads.add_shown(message, shown)
        if match.route.response_body:
            name = match.route.method.response.DESCRIPTOR.fields_by_name[match.route.response_body].json_name
            shown = shown.get(name)
        return compact(shown)

    def _shown_cached(self, match: Match, raw: bytes) -> bytes:
        """The same, but the last frame of WatchStats is kept: all who watch the same queues get equal bytes.

        It is found by the whole message, so no caller gets a frame of queues that it may not see.
        """
        if match.route.method.path != _WATCH:
            return self._shown(match, raw)
        if self._last_shown[0] != raw:
            self._last_shown = (raw, self._shown(match, raw))
        return self._last_shown[1]
