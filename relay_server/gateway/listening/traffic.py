"""Rules for every HTTP request and answer, whatever its route."""

from google.rpc import code_pb2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_server.gateway.admitting.guard import PROBES
from relay_server.gateway.admitting.refusals import refused, response_of
from relay_server.gateway.listening.pace import Pace

# A large answer goes to its connection in pieces of this size, so an unread answer costs one copied piece.
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


class Traffic:
    """Lets requests begin in turns, refuses a request that a proxy may have framed differently, and sends large answers
    in pieces, which also take turns.
    """

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
    """The application of connections over the limit: it answers probes, and refuses all other requests."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await app(scope, receive, send)
        else:
            await response_of(_FULL)(scope, receive, send)

    return answer
