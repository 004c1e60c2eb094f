"""A server that cannot read changed certificates or tokens tries again, and says so meanwhile (I18)."""

import re
import resource
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from relay.v1.admin_service_pb2 import StatsRequest
from relay.v1.admin_service_pb2_grpc import AdminServiceStub
from tests.support.credentials import Authority, TokensFile, bearer
from tests.support.relay import ServerProgram, eventually, server_program

STALE_MAX_S = 1.5


@contextmanager
def no_more_files(server: ServerProgram) -> Iterator[None]:
    """The server can open nothing: no file, no connection."""
    pid = server.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


class Watcher:
    """Connections that were open before anything went wrong, and what they see."""

    def __init__(self, server: ServerProgram, ca: Authority) -> None:
        self._channel = grpc.secure_channel(server.address, ca.credentials())
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._admin: Any = AdminServiceStub(self._channel)
        self._http = f"https://localhost:{server.http_address.rpartition(':')[2]}"
        self._scraped = f"https://localhost:{server.metrics_address.rpartition(':')[2]}"
        self._tls = ssl.create_default_context(cafile=str(ca.file))

    def asked(self, token: str) -> str:
        try:
            self._admin.Stats(StatsRequest(), metadata=bearer(token), timeout=10)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def serving(self) -> bool:
        reply = self._health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def get(self, path: str) -> tuple[int, str]:
        return self._get(self._http + path)

    def _get(self, url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, context=self._tls, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, file: str) -> float:
        found = re.search(
            rf'^{name}{{file="{file}"}} (\S+)$', self._get(f"{self._scraped}/metrics")[1], re.MULTILINE
        )
        assert found is not None
        return float(found[1])

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
async def served(redis_url: str, tmp_path: Path) -> Any:
    ca, tokens = Authority(tmp_path), TokensFile(tmp_path / "tokens.toml")
    token = tokens.add("ada", viewer="*")
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    stale = ("--tokens-file", str(tokens.path), "--credentials-stale-max-s", str(STALE_MAX_S))
    async with server_program(*options, *stale, tls=ca.issue(tmp_path, "server")) as server:
        watcher = Watcher(server, ca)
        await eventually(watcher.serving, what="health SERVING")
        yield server, watcher, tokens, token
        watcher.close()


async def test_a_revocation_while_no_file_can_be_opened_is_not_lost(served: Any) -> None:
    server, watcher, tokens, token = served
    assert watcher.asked(token) == "OK"
    with no_more_files(server):
        tokens.revoke(token)
        await eventually(lambda: "tokens_file_refused" in server.said(), what="the failure in the log")
        await eventually(lambda: not watcher.serving(), what="health NOT_SERVING")
        assert watcher.asked(token) == "OK"
    await eventually(lambda: watcher.asked(token) == "UNAUTHENTICATED", what="the revocation")
    await eventually(watcher.serving, what="health SERVING again")
    await eventually(
        lambda: watcher.metric("relay_reload_failures_total", "tokens_file") >= 1, what="the failure counted"
    )
    assert watcher.metric("relay_reload_failures_total", "certificate") == 0


async def test_a_bad_tokens_file_is_reported_and_after_a_while_not_ready(served: Any, tmp_path: Path) -> None:
    server, watcher, tokens, token = served
    other = tokens.add("eve", viewer="*")
    await eventually(lambda: watcher.asked(other) == "OK", what="the second token")
    good = tokens.path.read_text()
    tokens.path.write_text(good + "\n[[token]]\nid = 1\n")
    await eventually(
        lambda: watcher.metric("relay_reload_failing_seconds", "tokens_file") > 0, what="the gauge"
    )
    status = watcher.get("/readyz")[0]
    if (
        watcher.metric("relay_reload_failing_seconds", "tokens_file") < STALE_MAX_S - 1
    ):  # metrics are a second old
        assert status == 200  # a typo takes nothing down at once
    await eventually(lambda: watcher.get("/readyz")[0] == 503, what="not ready")
    assert "tokens_file changed and could not be read" in watcher.get("/readyz")[1]
    assert watcher.get("/healthz")[0] == 200
    assert watcher.asked(token) == "OK"
    tokens.path.write_text(good)
    await eventually(lambda: watcher.get("/readyz")[0] == 200, what="ready again")
    await eventually(
        lambda: watcher.metric("relay_reload_failing_seconds", "tokens_file") == 0, what="the gauge at rest"
    )
    assert server.said().count("tokens_file_refused") == 1


async def test_certificates_are_tried_again_too(served: Any, tmp_path: Path) -> None:
    server, watcher, _, _ = served
    key = tmp_path / "server.key"
    good = key.read_text()
    key.write_text("no key")
    await eventually(lambda: watcher.get("/readyz")[0] == 503, what="not ready")
    assert "certificate changed and could not be read" in watcher.get("/readyz")[1]
    await eventually(lambda: not watcher.serving(), what="health NOT_SERVING")
    key.write_text(good)
    await eventually(watcher.serving, what="health SERVING again")
    with no_more_files(server):
        key.write_text(good)
        await eventually(
            lambda: server.said().count("certificate_refused") >= 2, what="the failure in the log"
        )
    await eventually(lambda: server.said().count("certificate_reloaded") >= 2, what="the certificate")
