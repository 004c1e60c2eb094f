"""Signs browsers in and out: a token becomes a cookie, and the answer names the principal and its roles."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from google.rpc import code_pb2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from relay_server import errors
from relay_server.contract import status
from relay_server.gateway.admitting.bodies import read_body
from relay_server.gateway.admitting.guard import REFUSED_WAIT_S, check_origin, client_address
from relay_server.gateway.admitting.json_limits import BadJson, JsonLimits, read_json
from relay_server.gateway.admitting.negotiation import check_body_type
from relay_server.gateway.admitting.refusals import Refused, compact, refused, response_of
from relay_server.gateway.signing_in.credentials import authorizations, cookie_name
from relay_server.security.brake import Brake
from relay_server.security.gate import Gate, bad_token, bearer_of
from relay_server.security.principals import ANYONE, Principal

PATH = "/api/v1/sign-in"
FAILED_PER_MINUTE_MAX = 10

_ALLOW = "DELETE, GET, HEAD, POST"
_BODY_BYTES_MAX = 4096
_LIMITS = JsonLimits(depth=4, values=16)

_log = structlog.get_logger("relay_server.audit")


class SignIn:
    """GET, POST and DELETE of /api/v1/sign-in. Without tokens nobody needs to sign in, and nobody can.

    Nothing is kept here: the cookie holds the token, so any replica knows it, and it dies when the token is revoked.
    """

    def __init__(self, gate: Gate, *, tls: bool, body_within_s: float) -> None:
        self._body_within_s = body_within_s
        self._tokens = gate.tokens
        self._audit = gate.audit
        self._tls = tls
        self._cookie = cookie_name(tls=tls)
        # Only wrong tokens count: behind a proxy all people have one address. Guessing 256 bits is hopeless anyway; the
        # brake keeps the log small.
        self._brake = Brake(FAILED_PER_MINUTE_MAX)

    @property
    def route(self) -> Route:
        # All methods, so that 405 is answered here; the gateway would answer 404.
        return Route(PATH, self._serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

    async def _serve(self, request: Request) -> Response:
        try:
            if request.method in {"POST", "DELETE"}:
                check_origin(request, self._audit, "sign-in")
            if request.method == "POST":
                return await self._sign_in(request)
            if request.method == "DELETE":
                return self._sign_out()
            if request.method in {"GET", "HEAD"}:
                return await self._who(request)
            text = f"{request.method} is not allowed here; use {_ALLOW}"
            raise refused(405, code_pb2.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", text, {"allow": _ALLOW})
        except Refused as refusal:
            return response_of(refusal)
        except errors.RelayError as error:
            return response_of(Refused(status.to_status(error)))
        except ClientDisconnect:
            return Response(status_code=499)

    async def _who(self, request: Request) -> Response:
        if self._tokens is None:
            return _json(_described(ANYONE))
        metadata = [("authorization", value) for value in authorizations(request, self._cookie)]
        by_cookie = not request.headers.getlist("authorization")
        principal = self._tokens.authenticate(bearer_of(metadata))
        if principal is not None:
            return _json({**_described(principal), "canSignOut": by_cookie})
        response = _json({"signInNeeded": True})
        if metadata:  # a guess, or a token that is no longer valid
            try:
                await self._note_wrong(client_address(request))
            except Refused as braked:
                response = response_of(braked)
            if by_cookie:  # else an open page would send the wrong token again and again
                self._set_cookie(response, "", max_age=0)
        return response

    async def _sign_in(self, request: Request) -> Response:
        token = await _token_of(request, self._body_within_s)
        if self._tokens is None:
            text = "this server asks nobody who they are: there is nothing to sign in to (--tokens-file)"
            raise refused(400, code_pb2.FAILED_PRECONDITION, "NO_SIGN_IN", text)
        address = client_address(request)
        principal = self._tokens.authenticate(token)
        if principal is None:
            await self._note_wrong(address)
            raise bad_token()
        _log.info("signed_in", principal=principal.name, peer=address)
        response = _json({**_described(principal), "canSignOut": True})
        self._set_cookie(response, token, max_age=None)
        return response

    async def _note_wrong(self, address: str) -> None:
        """Logs a token that is not valid. Raises Refused, 429, after too many from one address."""
        if wait_s := self._brake.wait_s(address):
            text = (
                f"{FAILED_PER_MINUTE_MAX} sign-ins from your address failed within a minute; wait {wait_s} s"
            )
            retry = {"retry-after": str(wait_s)}
            await asyncio.sleep(REFUSED_WAIT_S)
            raise refused(429, code_pb2.RESOURCE_EXHAUSTED, "TOO_MANY_SIGN_INS", text, retry)
        _log.warning("sign_in_refused", peer=address)

    def _sign_out(self) -> Response:
        response = _json({"signInNeeded": self._tokens is not None})
        self._set_cookie(response, "", max_age=0)
        return response

    def _set_cookie(self, response: Response, token: str, max_age: int | None) -> None:
        response.set_cookie(
            self._cookie, token, max_age=max_age, path="/", secure=self._tls, httponly=True, samesite="strict"
        )


async def _token_of(request: Request, body_within_s: float) -> str:
    raw = await read_body(request, bytes_max=_BODY_BYTES_MAX, within_s=body_within_s)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    check_body_type(request.headers.get("content-type"), encoding, empty=False)
    try:
        body = read_json(raw, _LIMITS)
    except BadJson as error:
        raise errors.InvalidField([("body", str(error))]) from None
    token = body.get("token") if isinstance(body, dict) and body.keys() == {"token"} else None
    if not isinstance(token, str):
        raise errors.InvalidField([("body", 'must be {"token": "…"}, and nothing else')])
    return token.strip()


def _described(principal: Principal) -> dict[str, Any]:
    """The JSON of a principal; `roles` has the globs of each role that it has."""
    grants: Mapping[Any, tuple[str, ...]] = principal.grants
    roles = {role.value: list(globs) for role, globs in grants.items() if globs}
    return {"signInNeeded": False, "principal": principal.name, "roles": roles}


def _json(shown: dict[str, Any]) -> Response:
    return Response(compact(shown), headers={"content-type": "application/json"})
