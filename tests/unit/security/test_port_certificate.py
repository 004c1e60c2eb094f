"""The certificate of a gRPC port: exchanged once, seen by new connections, and never under the feet of a handshake."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay_server.security.port_certificate import PortCertificate
from relay_server.security.tls import BadCertificate, Tls, TlsFiles
from tests.support.credentials import Authority


def shown(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def first(cert: Path) -> bytes:
    text = cert.read_text()
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)])


@asynccontextmanager
async def serving(tls: Tls, address: str = "127.0.0.1:0") -> AsyncIterator[int]:
    server = grpc.aio.server()
    port = server.add_secure_port(address, tls.port.credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
        tls.port.close()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    cert, key = Authority(tmp_path).issue(tmp_path, "server")
    return TlsFiles(cert=cert, key=key, client_ca=None)


def test_it_says_no_change_unless_there_is_one(files: TlsFiles) -> None:
    """gRPC exchanges what it is given, and frees what other threads use: its word for no change is None."""
    pair = (files.key.read_bytes(), files.cert.read_bytes())
    new = grpc.ssl_server_certificate_configuration([pair])
    port = PortCertificate(new)
    assert port._take() is None
    port._give(new)
    assert port._take() is new
    assert port._take() is None


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]", "localhost"])
async def test_new_connections_are_shown_the_new_one(tmp_path: Path, files: TlsFiles, host: str) -> None:
    tls = Tls(files)
    async with serving(tls, f"{host}:0") as port:
        old = await asyncio.to_thread(shown, port)
        assert old == first(files.cert)
        Authority(tmp_path, "other").issue(tmp_path, "server")
        await tls.renew(f"{host}:{port}")
        assert await asyncio.to_thread(shown, port) == first(files.cert) != old
        await tls.renew(f"{host}:{port}")  # the same again is no mistake


async def test_on_a_unix_socket(tmp_path: Path, files: TlsFiles) -> None:
    tls = Tls(files)
    address = f"unix:{tmp_path}/grpc.sock"
    async with serving(tls, address):
        Authority(tmp_path, "other").issue(tmp_path, "server")
        await tls.renew(address)


async def test_a_port_that_does_not_answer_keeps_the_old_one(files: TlsFiles) -> None:
    tls = Tls(files)
    with pytest.raises(ConnectionError):
        await tls.renew("127.0.0.1:1")
    assert tls.port._take() is None


async def test_an_authority_that_grpc_cannot_use_is_refused(tmp_path: Path, files: TlsFiles) -> None:
    """OpenSSL takes a file with a revocation list alone; gRPC, which has a library of its own, would keep the old."""
    authority = tmp_path / "clients.pem"
    authority.write_bytes(files.cert.read_bytes())
    tls = Tls(TlsFiles(cert=files.cert, key=files.key, client_ca=authority))
    authority.write_bytes(revocation_list())
    with pytest.raises(BadCertificate, match="--tls-client-ca"):
        await tls.renew("127.0.0.1:1")


def revocation_list() -> bytes:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    builder = builder.last_update(now).next_update(now + timedelta(days=1))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
