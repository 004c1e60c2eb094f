"""TLS and client certificates on both listeners, renewed without a restart; the SDK over TLS with a token (I18)."""

import asyncio
import http.client
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from relay.v1.admin_service_pb2 import StatsRequest
from relay.v1.admin_service_pb2_grpc import AdminServiceStub
from relay_client import Client
from relay_client.errors import Unauthenticated
from tests.support.credentials import Authority, TokensFile, bearer
from tests.support.relay import ServerProgram, eventually, server_program

BIN = Path(sys.executable).parent


def serving(address: str, credentials: grpc.ChannelCredentials) -> bool:
    """Whether a new connection with these credentials gets an answer."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options=options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            return bool(stub.Check(health_pb2.HealthCheckRequest(), timeout=3).status)
        except grpc.RpcError:
            return False


def http_serving(server: ServerProgram, ca: Authority, client: tuple[Path, Path] | None = None) -> bool:
    context = ssl.create_default_context(cafile=str(ca.file))
    if client is not None:
        context.load_cert_chain(*client)
    address = server.http_address
    connection = http.client.HTTPSConnection(address, timeout=5, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        connection.close()


async def test_certificates_are_renewed_on_both_listeners(redis_url: str, tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    cert, key = old.issue(tmp_path, "server")
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0")
    async with server_program(*options, tls=(cert, key)) as server:
        assert serving(server.address, old.credentials())
        assert http_serving(server, old)
        assert not serving(server.address, new.credentials())
        assert not http_serving(server, new)
        key.write_text("no key")
        await eventually(lambda: "certificate_refused" in server.said(), what="the refusal in the log")
        assert serving(server.address, old.credentials())
        assert http_serving(server, old)
        new.issue(tmp_path, "server")
        await eventually(lambda: serving(server.address, new.credentials()), what="the new certificate")
        await eventually(lambda: http_serving(server, new), what="the new certificate over HTTP")
        assert not serving(server.address, old.credentials())
        assert not http_serving(server, old)


async def test_clients_need_a_certificate_of_the_authority(redis_url: str, tmp_path: Path) -> None:
    ca, clients, strangers = (Authority(tmp_path, name) for name in ("ca", "clients", "strangers"))
    cert, key = ca.issue(tmp_path, "server")
    client, stranger = clients.issue(tmp_path, "client"), strangers.issue(tmp_path, "stranger")
    roots = tmp_path / "client-ca.pem"
    roots.write_bytes(clients.pem)
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0")
    async with server_program(*options, "--tls-client-ca", str(roots), tls=(cert, key)) as server:
        assert serving(server.address, ca.credentials(client))
        assert http_serving(server, ca, client)
        for shown in (None, stranger):
            assert not serving(server.address, ca.credentials(shown))
            assert not http_serving(server, ca, shown)
        roots.write_bytes(strangers.pem)  # and the authority before is one no more
        await eventually(lambda: serving(server.address, ca.credentials(stranger)), what="the new authority")
        await eventually(lambda: http_serving(server, ca, stranger), what="the new authority over HTTP")
        assert not serving(server.address, ca.credentials(client))
        assert not http_serving(server, ca, client)


async def test_a_client_of_a_replaced_authority_resumes_nothing(redis_url: str, tmp_path: Path) -> None:
    """A resumed session shows no certificate, so it would be let in for ever."""
    ca, clients, others = (Authority(tmp_path, name) for name in ("ca", "clients", "others"))
    server_files, client = ca.issue(tmp_path, "server"), clients.issue(tmp_path, "client")
    roots = tmp_path / "client-ca.pem"
    roots.write_bytes(clients.pem)
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0", "--tls-client-ca", str(roots))
    async with server_program(*options, tls=server_files) as server:
        host, _, port = server.http_address.rpartition(":")

        def context() -> ssl.SSLContext:
            made = ssl.create_default_context(cafile=str(ca.file))
            made.load_cert_chain(*client)
            return made

        kept = context()

        def answered(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
            with (
                socket.create_connection((host, int(port)), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=host, session=session) as connection,
            ):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                said = connection.recv(100)
                if not said:
                    raise ConnectionError("refused after the handshake")
                assert said.startswith(b"HTTP/1.1 200")
                assert not connection.session_reused
                return connection.session

        session = answered(kept)
        answered(kept, session)
        older = context()
        older.maximum_version = ssl.TLSVersion.TLSv1_2  # resumes by the session's id, without a ticket
        with pytest.raises(ssl.SSLError):
            answered(older)
        roots.write_bytes(others.pem)
        await eventually(lambda: not http_serving(server, ca, client), what="the new authority")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            answered(kept, session)


async def test_the_sdk_with_token_and_client_certificate(redis_url: str, tmp_path: Path) -> None:
    ca, tokens = Authority(tmp_path), TokensFile(tmp_path / "tokens.toml")
    cert, key = ca.issue(tmp_path, "server")
    client_cert, client_key = ca.issue(tmp_path, "client")
    token = tokens.add("shop", producer="orders")
    options = ("--redis-url", redis_url)
    guards = ("--tls-client-ca", str(ca.file), "--tokens-file", str(tokens.path), "--listen", "0.0.0.0:0")
    async with server_program(*options, *guards, tls=(cert, key)) as server:
        address = f"localhost:{server.address.rpartition(':')[2]}"
        assert "ANYONE" not in server.said()

        def enqueue(token: str | None) -> str:
            with Client(
                address, tls=True, ca_file=ca.file, cert_file=client_cert, key_file=client_key, token=token
            ) as client:
                return client.enqueue("orders", "t", {}).id

        assert enqueue(token)
        with pytest.raises(Unauthenticated):
            enqueue(None)


async def test_a_client_certificate_may_say_who_calls(redis_url: str, tmp_path: Path) -> None:
    ca, tokens = Authority(tmp_path), TokensFile(tmp_path / "tokens.toml")
    cert, key = ca.issue(tmp_path, "server")
    known = ca.issue(tmp_path, "known", "keda.example")
    unknown = ca.issue(tmp_path, "unknown", "other.example")
    # Text for people, and addresses: neither says who it is.
    named = ca.issue(tmp_path, "named", "192.0.2.7", "ada@keda.example", common_name="keda.example")
    for name in ("192.0.2.7", "ada@keda.example"):
        tokens.add_certificate(name, "keda", viewer="mine")
    tokens.add_certificate("keda.example", "keda", viewer="mine")
    token = tokens.add("shop", producer="*")
    options = ("--redis-url", redis_url)
    guards = ("--tls-client-ca", str(ca.file), "--tokens-file", str(tokens.path))
    async with server_program(*options, *guards, tls=(cert, key)) as server:

        def asked(client: tuple[Path, Path], queue: str, metadata: Any = ()) -> str:
            with grpc.secure_channel(server.address, ca.credentials(client)) as channel:
                stub = AdminServiceStub(channel)
                try:
                    stub.Stats(StatsRequest(queue=queue), metadata=metadata, timeout=10)
                except grpc.RpcError as error:
                    return str(error.code().name)
                return "OK"

        assert asked(known, "mine") == "NOT_FOUND"  # allowed to ask, and nobody has used it yet
        assert asked(known, "other") == "PERMISSION_DENIED"
        assert asked(unknown, "mine") == "UNAUTHENTICATED"
        assert asked(named, "mine") == "UNAUTHENTICATED"
        # A token says more than the certificate, and one that is wrong is not mended by it.
        assert asked(known, "mine", bearer(token)) == "PERMISSION_DENIED"
        assert asked(known, "mine", bearer("x")) == "UNAUTHENTICATED"


async def test_certificates_of_callers_need_their_authority(redis_url: str, tmp_path: Path) -> None:
    tokens = TokensFile(tmp_path / "tokens.toml")
    tokens.add_certificate("keda.example", "keda", viewer="*")
    command = ("relay-server", "--redis-url", redis_url, "--tokens-file", str(tokens.path), "--http", "off")
    ended = await asyncio.to_thread(
        subprocess.run, [str(BIN / command[0]), *command[1:]], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, "--tls-client-ca" in ended.stderr) == (1, True)


async def test_the_long_way_round_says_so(redis_url: str) -> None:
    options = ("--redis-url", redis_url, "--listen", "0.0.0.0:0", "--insecure-allow-public-without-auth")
    async with server_program(*options) as server:
        assert "ANYONE WHO REACHES THIS SERVER" in server.said()


async def test_http_asks_for_the_same_tokens(redis_url: str, tmp_path: Path) -> None:
    ca, tokens = Authority(tmp_path), TokensFile(tmp_path / "tokens.toml")
    cert, key = ca.issue(tmp_path, "server")
    token, other = tokens.add("ada", viewer="*"), tokens.add("shop", producer="*")
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0")
    async with server_program(*options, "--tokens-file", str(tokens.path), tls=(cert, key)) as server:
        address = server.http_address
        context = ssl.create_default_context(cafile=str(ca.file))

        def status(path: str, *headers: tuple[str, str]) -> int:
            connection = http.client.HTTPSConnection(address, timeout=5, context=context)
            connection.request("GET", path, headers=dict(headers))
            found = connection.getresponse().status
            connection.close()
            return found

        assert status("/healthz") == 200
        assert status("/api/v1/stats") == 401
        assert status("/api/v1/stats", ("authorization", f"Bearer {other}")) == 403
        assert status("/api/v1/stats", ("authorization", f"Bearer {token}")) == 200
        assert token not in server.said()
