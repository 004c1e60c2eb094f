"""I18 over HTTP: every route with every kind of credential, and what a browser's cookie does and does not open."""

import asyncio
import http.client
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from relay_server.contract.services import SERVICES
from relay_server.gateway.admitting import guard
from relay_server.gateway.signing_in.sign_in import FAILED_PER_MINUTE_MAX, PATH
from relay_server.gateway.transcoding.routes import Route, Routes
from relay_server.security.audit import REFUSED_PER_MINUTE_MAX
from relay_server.security.permissions import RULES
from tests.integration.authorisation import CREDENTIALS, MINE, OTHERS, Callers, outcome, request_for
from tests.support.credentials import Authority, TokensFile
from tests.support.http import Answer, opened, request
from tests.support.relay import Relay, eventually, relay_server, server_program

ROUTES = Routes(SERVICES).all
HTTP = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test asks more often than somebody does by mistake."""
    monkeypatch.setattr(guard, "REFUSED_WAIT_S", 0.0)


@pytest.fixture
def ada(tokens: TokensFile) -> str:
    """The token of an operator."""
    return tokens.add("ada", operator="*")


@pytest.fixture
async def guarded(redis_url: str, tokens: TokensFile, ada: str) -> AsyncIterator[Relay]:
    async with relay_server(redis_url, tokens_file=tokens.path, http="127.0.0.1:0") as relay:
        yield relay


def port_of(relay: Relay) -> int:
    return relay.http_port


def target_of(route: Route, queue: str) -> tuple[str, Any]:
    """The path and the body of a request that names the queue wherever it can."""
    shown = json_format.MessageToDict(request_for(route.method.path, queue), preserving_proto_field_name=True)
    values = {name: str(shown.pop(name, "x")) for name in route.template.variables}
    path = re.sub(r"\{([a-z_.]+)[^}]*\}", lambda name: values[name[1]], route.template.text)
    if not route.body:
        query = "&".join(f"{name}={value}" for name, value in shown.items() if isinstance(value, str))
        return f"{path}?{query}", None
    return path, shown if route.body == "*" else shown.get(route.body, {})


async def status_of(port: int, route: Route, queue: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """The code, and the reason of a refusal. A stream that is let in is left."""
    path, body = target_of(route, queue)
    sent: dict[str, Any] = {} if body is None else {"json": body}
    async with opened(port, route.verb, f"/api{path}" if not path.startswith("/api") else path,
                      headers={**headers, "X-Relay-Timeout": "5s"}, **sent) as answer:  # fmt: skip
        if answer.status not in HTTP.values():
            return answer.status, ""
        shown = json.loads(await answer.rest())
        asked = answer.headers.get("www-authenticate")
        assert (asked == "Bearer") == (answer.status == 401), (route.template.text, asked)
        return answer.status, next(one["reason"] for one in shown["details"] if "reason" in one)


@pytest.mark.parametrize("how", ["header", "cookie"])
@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_every_route_with_every_kind_of_credential(
    redis_url: str, tmp_path: Path, credential: str, how: str
) -> None:
    callers = Callers(TokensFile(tmp_path / "tokens.toml"))
    async with relay_server(redis_url, tokens_file=callers.file.path, http="127.0.0.1:0") as relay:
        for route in ROUTES:
            method = route.method.path
            token = callers.token(credential, RULES[method].role.value)
            value = f"Bearer {token}" if (how == "header") != (credential == "malformed") else token
            name = "Authorization" if how == "header" else "Cookie"
            value = f"relay_token={value}" if how == "cookie" else value
            given = {name: value} if token else {}
            code, reason = await status_of(port_of(relay), route, MINE, given)
            expected = outcome(credential, method)
            if expected is None:
                assert code not in HTTP.values(), (method, code, reason)
            else:
                assert (code, reason) == (HTTP[expected], expected.name), method
        if credential != "right":
            assert await relay.app.engine.names.all() == []


async def sign_in(port: int, token: str, **headers: str) -> Answer:
    return await request(port, "POST", PATH, json={"token": token}, headers=headers)


async def test_a_token_is_exchanged_for_a_cookie_that_is_as_good(guarded: Relay, ada: str) -> None:
    port = port_of(guarded)
    before = await request(port, "GET", PATH)
    assert (before.status, before.json) == (200, {"signInNeeded": True})
    answer = await sign_in(port, f" {ada}\n", Origin=f"http://127.0.0.1:{port}", **OWN)
    known = {"signInNeeded": False, "principal": "ada", "roles": {"operator": ["*"]}, "canSignOut": True}
    assert (answer.status, answer.json) == (200, known)
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert cookie == f"relay_token={ada}"
    assert {one.lower() for one in attributes} == {"httponly", "path=/", "samesite=strict"}
    assert answer.headers["cache-control"] == "no-store"
    sent = {"Cookie": f"theme=dark; {cookie}"}
    assert (await request(port, "GET", PATH, headers=sent)).json == known
    assert (await request(port, "GET", "/api/v1/stats", headers=sent)).status == 200
    assert (await request(port, "GET", "/api/v1/stats")).status == 401
    out = await request(port, "DELETE", PATH, headers=sent)
    assert out.json == {"signInNeeded": True}
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert ada not in out.headers["set-cookie"]


async def test_without_tokens_there_is_nothing_to_sign_in_to(redis_url: str) -> None:
    async with relay_server(redis_url, http="127.0.0.1:0") as relay:
        answer = (await request(port_of(relay), "GET", PATH)).json
        assert (answer["signInNeeded"], answer["principal"]) == (False, "anyone")
        refused = await sign_in(port_of(relay), "relay_any")
        assert (refused.status, refused.reason) == (400, "NO_SIGN_IN")


async def test_the_cookie_dies_with_its_token_and_ends_its_streams(
    guarded: Relay, tokens: TokensFile
) -> None:
    token = tokens.add("eve", viewer="*")
    known = guarded.app.credentials.tokens
    assert known is not None
    await eventually(lambda: known.authenticate(token) is not None, what="the file to be read again")
    sent = {"Cookie": f"relay_token={token}", "Accept": "text/event-stream"}
    async with opened(port_of(guarded), "GET", "/api/v1/stats:watch", headers=sent) as watched:
        assert watched.status == 200
        tokens.revoke(token)
        async with asyncio.timeout(30):
            while (event := await watched.event()).get("event") != "error":
                pass
        assert json.loads(event["data"])["code"] == 16
    assert (
        await request(port_of(guarded), "GET", "/api/v1/stats", headers={"Cookie": sent["Cookie"]})
    ).status == 401


PLACES: dict[str, tuple[dict[str, str], int, int]] = {
    # what a browser says of where the request comes from: reading with the cookie, changing with it
    "own page": ({"Origin": "OWN", "Sec-Fetch-Site": "same-origin"}, 200, 200),
    "own page, old browser": ({"Origin": "OWN"}, 200, 200),
    "typed address": ({"Sec-Fetch-Site": "none"}, 200, 200),
    "program": ({}, 200, 200),
    "other port": ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, 401, 403),
    "other port, no origin": ({"Sec-Fetch-Site": "same-site"}, 401, 403),
    "other site": ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 401, 403),
    "other site, old browser": ({"Origin": "https://evil.example"}, 401, 403),
    "opaque": ({"Origin": "null"}, 401, 403),
    "foreign host": ({"Host": "evil.example"}, 421, 421),
    "two hosts": ({"Host": "127.0.0.1, evil.example"}, 421, 421),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_cookie_counts_for_own_pages_only(guarded: Relay, ada: str, place: str) -> None:
    port = port_of(guarded)
    given, reading, changing = PLACES[place]
    headers = {name: value.replace("OWN", f"http://127.0.0.1:{port}") for name, value in given.items()}
    headers["Cookie"] = f"relay_token={ada}"
    assert (await request(port, "GET", "/api/v1/stats", headers=headers)).status == reading
    change = {"maxJobs": "1000"}
    changed = await request(port, "PATCH", f"/api/v1/queues/{MINE}", json=change, headers=headers)
    assert changed.status == changing, changed.body
    for verb in ("POST", "DELETE"):
        body = {"json": {"token": ada}} if verb == "POST" else {}
        assert (await request(port, verb, PATH, headers=headers, **body)).status == changing
    forged = await request(port, "POST", f"/api/v1/queues/{OTHERS}:pause", body=b"{}",
                           headers={**headers, "Content-Type": "text/plain"})  # fmt: skip
    assert forged.status in {403, 415, 421}, "a form can send this without being asked"


COOKIES: dict[str, tuple[str, int]] = {
    "the token": ("relay_token=T", 200),
    "among others": ("a=b; relay_token=T; c", 200),
    "twice the same": ("relay_token=T; relay_token=T", 200),
    "two that differ": ("relay_token=T; relay_token=other", 401),
    "the other name": ("__Host-relay_token=T", 401),
    "no token": ("relay_token=", 401),
    "quoted": ('relay_token="T"', 401),
    "in capitals": ("RELAY_TOKEN=T", 401),
}


@pytest.mark.parametrize("form", COOKIES)
async def test_what_a_cookie_may_look_like(guarded: Relay, ada: str, form: str) -> None:
    cookie, status = COOKIES[form]
    headers = (
        {"Cookie": cookie.replace("T", ada)} if form != "in capitals" else {"Cookie": f"RELAY_TOKEN={ada}"}
    )
    assert (await request(port_of(guarded), "GET", "/api/v1/stats", headers=headers)).status == status


async def test_a_wrong_header_is_not_mended_by_a_cookie(guarded: Relay, ada: str) -> None:
    headers = {"Authorization": "Bearer nonsense", "Cookie": f"relay_token={ada}"}
    assert (await request(port_of(guarded), "GET", "/api/v1/stats", headers=headers)).status == 401


BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "nothing": (b"", {"Content-Type": "application/json"}, 400),
    "no JSON": (b"{token", {"Content-Type": "application/json"}, 400),
    "a form": (b"token=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "a number": (b'{"token": 1}', {"Content-Type": "application/json"}, 400),
    "more fields": (b'{"token": "x", "next": "/"}', {"Content-Type": "application/json"}, 400),
    "a list": (b'["x"]', {"Content-Type": "application/json"}, 400),
    "a novel": (b'{"token": "' + b"x" * 5000 + b'"}', {"Content-Type": "application/json"}, 413),
    "half a pair": (b'{"token": "\\ud800"}', {"Content-Type": "application/json"}, 400),
    "a null": (b'{"token": "\\u0000"}', {"Content-Type": "application/json"}, 401),
}


@pytest.mark.parametrize("name", BODIES)
async def test_bodies_that_sign_nobody_in(guarded: Relay, name: str) -> None:
    body, headers, status = BODIES[name]
    answer = await request(port_of(guarded), "POST", PATH, body=body, headers=headers)
    assert (answer.status, "set-cookie" in answer.headers) == (status, False), answer.body
    assert (await request(port_of(guarded), "PUT", PATH, headers=headers)).status == 405


async def test_failed_sign_ins_are_braked_and_logged_without_the_token(
    guarded: Relay, ada: str, capfd: pytest.CaptureFixture[str]
) -> None:
    port, wrong = port_of(guarded), ada[:-3] + "xyz"
    for _ in range(FAILED_PER_MINUTE_MAX):
        refused = await sign_in(port, wrong)
        assert (refused.status, refused.reason) == (401, "UNAUTHENTICATED")
    braked = await sign_in(port, wrong)
    assert (braked.status, braked.reason) == (429, "TOO_MANY_SIGN_INS")
    assert 1 <= int(braked.headers["retry-after"]) <= 61
    assert (await sign_in(port, ada)).status == 200, "who knows the token is never locked out"
    said = "".join(capfd.readouterr())
    assert said.count("sign_in_refused") == FAILED_PER_MINUTE_MAX
    assert re.search(r"signed_in.*ada", said)
    assert ada not in said
    assert wrong not in said


@pytest.mark.parametrize("how", ["header", "cookie"])
async def test_wrong_tokens_at_the_session_are_braked_and_logged(
    guarded: Relay, ada: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    port, wrong = port_of(guarded), ada[:-3] + "xyz"
    given = {
        "header": {"Authorization": f"Bearer {wrong}"},
        "cookie": {"Cookie": f"relay_token={wrong}", **OWN},
    }
    for _ in range(FAILED_PER_MINUTE_MAX):
        answer = await request(port, "GET", PATH, headers=given[how])
        assert (answer.status, answer.json) == (200, {"signInNeeded": True})
        assert ("Max-Age=0" in answer.headers.get("set-cookie", "")) == (how == "cookie"), "it is taken away"
    braked = await request(port, "GET", PATH, headers=given[how])
    assert (braked.status, braked.reason) == (429, "TOO_MANY_SIGN_INS")
    cleared = "Max-Age=0" in braked.headers.get("set-cookie", "")
    assert cleared == (how == "cookie"), "or who shares that address could not sign in while the brake holds"
    assert (await sign_in(port, wrong)).status == 429, "one brake for all ways to guess"
    assert (await request(port, "GET", PATH)).json == {"signInNeeded": True}, (
        "who has no token guesses nothing"
    )
    known = await request(port, "GET", PATH, headers={"Authorization": f"Bearer {ada}"})
    assert known.json["principal"] == "ada", "who knows the token is never locked out"
    said = "".join(capfd.readouterr())
    assert said.count("sign_in_refused") == FAILED_PER_MINUTE_MAX
    assert wrong not in said


async def test_a_flood_of_refusals_waits_and_admitted_requests_do_not(
    guarded: Relay, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(guarded)
    for _ in range(REFUSED_PER_MINUTE_MAX):
        assert (await request(port, "GET", "/api/v1/stats")).status == 401
    monkeypatch.setattr(guard, "REFUSED_WAIT_S", 600.0)
    for path in ("/api/v1/stats", "/metrics"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await request(port, "GET", path)
        known = await request(port, "GET", path, headers={"Authorization": f"Bearer {ada}"})
        assert known.status == 200


async def test_under_tls_the_cookie_is_tied_to_host_and_tls(redis_url: str, tmp_path: Path, ada: str) -> None:
    ca = Authority(tmp_path)
    cert, key = ca.issue(tmp_path, "server")
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0")
    async with server_program(
        *options, "--tokens-file", str(tmp_path / "tokens.toml"), tls=(cert, key)
    ) as server:
        address = server.http_address
        context = ssl.create_default_context(cafile=str(ca.file))

        def call(verb: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPSConnection(address, timeout=5, context=context)
            connection.request(verb, path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer

        answer = call("POST", PATH, json.dumps({"token": ada}).encode(), Origin=f"https://{address}")
        cookie, *attributes = (answer.getheader("set-cookie") or "").split("; ")
        assert cookie == f"__Host-relay_token={ada}"
        assert {one.lower() for one in attributes} == {"httponly", "path=/", "samesite=strict", "secure"}
        assert call("GET", "/api/v1/stats", Cookie=cookie).status == 200
        plain = call("POST", PATH, json.dumps({"token": ada}).encode(), Origin=f"http://{address}")
        assert plain.status == 403, "no page of ours is served without TLS"
        assert call("GET", "/api/v1/stats", Cookie=cookie.removeprefix("__Host-")).status == 401


async def test_who_calls_is_asked_before_the_body_is_read(guarded: Relay, ada: str) -> None:
    """Otherwise anybody could have a server read, keep and parse what they like."""
    for credential, status in ((b"x", b"401"), (ada.encode(), b"400")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(guarded))
        writer.write(
            b"POST /api/v1/queues/mine/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\nAuthorization: Bearer %b\r\n\r\n" % credential
        )
        if credential == ada.encode():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.3)
            writer.write(b"no json..")
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == status
        writer.close()


@pytest.mark.parametrize("value", ["Bearer \u00e9".encode(), "Bearer " + "x" * 3000, "Basic eDp5", "Bearer"])
async def test_an_authorization_that_is_none(guarded: Relay, redis_url: str, value: Any) -> None:
    """It is refused and counted, not dropped; a server that asks nobody does not look at it."""
    headers = {"Authorization": value}
    answer = await request(port_of(guarded), "GET", "/api/v1/stats", headers=headers)
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")
    counted = 'relay_grpc_handled_total{code="UNAUTHENTICATED",method="/relay.v1.AdminService/Stats"} 1.0'
    assert counted in "".join(guarded.app.metrics.parts())
    async with relay_server(redis_url, http="127.0.0.1:0") as relay:
        assert (await request(port_of(relay), "GET", "/api/v1/stats", headers=headers)).status == 200
