"""What holds for every request and answer before and after anything knows what it is about."""

from google.rpc import code_pb2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_server.gateway.guard import PROBES
from relay_server.gateway.pace import Pace
from relay_server.gateway.refusals import refused, response_of

# A connection takes one after the other: of a large answer that nobody reads no more is copied for it.
_PIECE_BYTES = 64 << 10

_TWO_LENGTHS = refused(
    400,
    code_pb2.INVALID_ARGUMENT,
    "TWO_LENGTHS",
    "Content-Length and Transfer-Encoding both say where this request ends: send one of them; the connection is closed",
    {"connection": "close"},
)
_FULL = refused(
    503,
    code_pb2.UNAVAILABLE,
    "TOO_MANY_CONNECTIONS",
    "as many connections as may be are open, all of them busy, from your address or from all; try again soon, and keep "
    "connections (--http-connections-max, --http-connections-per-address-max)",
    {"connection": "close", "retry-after": "1"},
)


class Wire:
    """Has requests begin one after the other, refuses one that a proxy could have read as another, and cuts large
    answers into pieces, which take turns as well."""

    def __init__(self, app: ASGIApp, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_pieces(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _PIECE_BYTES:
                await send(message)
                return
            for start in range(0, len(body), _PIECE_BYTES):
                end = start + _PIECE_BYTES
                more = message.get("more_body", False) or end < len(body)
                await self._pace.take()
                await send({**message, "body": body[start:end], "more_body": more})

        await self._pace.take()
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if {b"content-length", b"transfer-encoding"} <= names:
            await response_of(_TWO_LENGTHS)(scope, receive, send)
            return
        await self._app(scope, receive, send_pieces)


def full(app: ASGIApp) -> ASGIApp:
    """The application for connections there was no room for: the probes of whoever looks after this server, no more."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await app(scope, receive, send)
        else:
            await response_of(_FULL)(scope, receive, send)

    return answer
