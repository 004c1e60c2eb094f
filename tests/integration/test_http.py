"""The HTTP listener over real sockets: probes, the page of links, and what is refused."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from relay_server.gateway.listening.connections import ConnectionLimits
from relay_server.gateway.listening.serve import HttpListener, serve_http
from relay_server.gateway.pages.http_app import PageLink, Probes, make_http_app
from relay_server.ports import PortUnavailable, owner_of
from relay_server.storage import Health, Trouble
from tests.support.relay import Relay
from tests.support.seams import stop_being_ready


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    port: int, path: str, *, method: str = "GET", host: str | None = None, more: Sequence[str] = ()
) -> Answer:
    """One request on a connection of its own, written by hand so that the Host is ours to choose."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", "Connection: close", *more]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    raw = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return Answer(int(status.split()[1]), headers, body)


class State:
    """What the probes answer."""

    def __init__(self) -> None:
        self.serving = True
        self.health = Health()


async def fail(_request: Request) -> Response:
    raise RuntimeError("a secret")


async def extra(_request: Request) -> Response:
    return PlainTextResponse("extra", headers={"content-security-policy": "default-src 'self'"})


@asynccontextmanager
async def listening(
    state: State | None = None,
    limits: ConnectionLimits | None = None,
    more: Sequence[BaseRoute] = (),
) -> AsyncIterator[HttpListener]:
    state = state or State()
    app = make_http_app(
        probes=Probes(serving=lambda: state.serving, health=lambda: state.health),
        version="1.2.3<b>",
        bind_host="127.0.0.1",
        more_hosts=["relay.example"],
        routes=[Route("/fails", fail), Route("/extra", extra), *more],
        links=[PageLink(path="/extra", text="More.")],
    )
    listener = await serve_http(app, "127.0.0.1", 0, limits=limits)
    try:
        yield listener
    finally:
        await asyncio.wait_for(listener.stop(), 10)


async def test_alive_never_asks_redis() -> None:
    state = State()
    state.health = Health(trouble=Trouble.UNREACHABLE)
    async with listening(state) as http:
        answer = await ask(http.port, "/healthz")
    assert (answer.status, json.loads(answer.body)) == (200, {"alive": True})


async def test_ready_follows_redis_and_the_server() -> None:
    state = State()
    async with listening(state) as http:
        assert (await ask(http.port, "/readyz")).status == 200
        state.health = Health(trouble=Trouble.LOADING, detail="loading the dataset")
        away = await ask(http.port, "/readyz")
        assert away.status == 503
        assert json.loads(away.body) == {
            "ready": False,
            "reason": "Redis does not take writes: loading",
            "detail": "loading the dataset",
        }
        state.health, state.serving = Health(), False
        draining = await ask(http.port, "/readyz")
        assert (draining.status, json.loads(draining.body)["ready"]) == (503, False)


async def test_a_whole_server_is_ready_and_is_not_while_it_drains(
    another: Callable[..., Awaitable[Relay]],
) -> None:
    relay = await another(http="127.0.0.1:0")
    assert relay.server is not None
    port = relay.http_port
    assert (await ask(port, "/readyz")).status == 200
    stop_being_ready(relay.app)
    assert (await ask(port, "/readyz")).status == 503


async def test_the_page_lists_what_is_here() -> None:
    async with listening() as http:
        page = await ask(http.port, "/about")
        assert page.status == 200
        assert b"Relay 1.2.3&lt;b&gt;" in page.body
        assert b"<script" not in page.body
        for path in ("/healthz", "/readyz", "/extra"):
            assert f'href="{path}"'.encode() in page.body
            assert (await ask(http.port, path)).status == 200


async def test_every_answer_has_the_security_headers() -> None:
    async with listening() as http:
        for path in ("/about", "/healthz", "/nothing", "/fails"):
            headers = (await ask(http.port, path)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'"), path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "server" not in headers
        own = await ask(http.port, "/extra")
        assert own.headers["content-security-policy"] == "default-src 'self'"


async def test_unknown_paths_and_methods_are_json() -> None:
    async with listening() as http:
        unknown = await ask(http.port, "/nothing")
        assert (unknown.status, unknown.headers["content-type"]) == (404, "application/json")
        assert "/nothing" in json.loads(unknown.body)["message"]
        for path in ("/healthz/", "/extra/"):  # a redirect would name http also to who came by https
            assert (await ask(http.port, path)).status == 404, path
        method = await ask(http.port, "/healthz", method="DELETE")
        assert (method.status, json.loads(method.body)["code"]) == (405, 12)


async def test_a_defect_tells_the_caller_nothing() -> None:
    async with listening() as http:
        answer = await ask(http.port, "/fails")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert json.loads(answer.body)["code"] == 13


async def test_a_foreign_host_reaches_only_probes() -> None:
    async with listening() as http:
        for host in ("evil.example", f"evil.example:{http.port}", "127.0.0.1.evil.example", ""):
            for path in ("/about", "/extra", "/nothing"):
                assert (await ask(http.port, path, host=host or " ")).status == 421, (host, path)
        for path in ("/healthz", "/readyz"):
            assert (await ask(http.port, path, host="evil.example")).status == 200
        for host in ("localhost", f"LocalHost:{http.port}", "[::1]:1", "relay.example"):
            assert (await ask(http.port, "/about", host=host)).status == 200, host


async def test_a_taken_port_names_its_owner_and_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        app = make_http_app(
            probes=Probes(serving=lambda: True, health=Health),
            version="1",
            bind_host="127.0.0.1",
        )
        with pytest.raises(PortUnavailable) as refused:
            await serve_http(app, "127.0.0.1", port)
    text = str(refused.value)
    assert f"--http 127.0.0.1:{port}" in text
    assert f"process {os.getpid()}" in text
    assert owner_of(port) is None


async def test_an_address_that_is_not_ours_is_an_error_with_the_option() -> None:
    app = make_http_app(
        probes=Probes(serving=lambda: True, health=Health),
        version="1",
        bind_host="192.0.2.1",
    )
    with pytest.raises(PortUnavailable, match=r"--http 192\.0\.2\.1:0: .*address"):
        await serve_http(app, "192.0.2.1", 0)


async def test_signals_stay_the_program_s_and_the_port_is_free_after_stop() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with listening() as http:
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        port = http.port
    with pytest.raises(ConnectionRefusedError):
        await ask(port, "/healthz")


async def test_an_idle_connection_does_not_hold_the_stop_up() -> None:
    async with listening() as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{http.port}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_request_that_never_ends_is_given_up() -> None:
    """Anybody can begin one. What is answered slowly, or streams, is not meant."""

    async def slow(_request: Request) -> Response:
        await asyncio.sleep(2.5)
        return PlainTextResponse("slow")

    limits = ConnectionLimits(header_s=1.0, idle_s=1.0, write_s=1.0)
    async with listening(limits=limits, more=[Route("/slow", slow)]) as http:
        asked = asyncio.create_task(ask(http.port, "/slow"))
        for begun in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: local"):
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            writer.write(begun)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        assert (await asked).status == 200
