"""TLS of both listeners: one certificate, one authority of clients, renewed without a restart."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from relay_server.security.port_certificate import PortCertificate, try_out
from relay_server.security.reload import stamp_of

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class BadCertificate(OSError):
    """The files are no certificate and key that belong together. The text names the option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files. With `client_ca` every client must show a certificate that this authority signed."""

    cert: Path
    key: Path
    client_ca: Path | None

    @property
    def all(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.cert, self.key, self.client_ca) if file is not None)


class Tls:
    """The TLS settings of both listeners. After `renew` new connections get the files' new contents."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.stamp = stamp_of(files.all)  # before reading: a change during the read counts as new
        self._current = _context(files)
        self.port = PortCertificate(_contents(files).configuration(), of_clients=files.client_ca is not None)
        self.context = _context(files)  # for the HTTP listener; handshakes use the current one
        self.context.sni_callback = self._take_current

    async def renew(self, address: str) -> None:
        """Reads the files anew, for the gRPC port at `address` and then for the HTTP listener.

        Raises OSError; the old contents then stay in use.
        """
        current, contents = _context(self.files), _contents(self.files)
        await self._try(contents)
        await self.port.exchange(contents.configuration(), contents.first_certificate, address)
        self._current = current

    async def check(self) -> None:
        """Call it before the ports are opened: gRPC's own refusal there names no cause. Raises BadCertificate."""
        await self._try(_contents(self.files))

    async def _try(self, contents: "_Contents") -> None:
        try:
            await try_out(contents.credentials())
        except ValueError as error:
            raise BadCertificate(f"{_options(self.files)}: {error}") from None

    def _take_current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _options(files: TlsFiles) -> str:
    ca = f", --tls-client-ca {files.client_ca}" if files.client_ca is not None else ""
    return f"--tls-cert {files.cert}, --tls-key {files.key}{ca}"


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key)
    except (OSError, ValueError) as error:
        text = (
            f"--tls-cert {files.cert}, --tls-key {files.key}: {error}; give a PEM certificate and its PEM key"
        )
        raise BadCertificate(text) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise BadCertificate(f"--tls-client-ca {files.client_ca}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
        # No resumption: a resumed session shows no certificate, so a client could stay after its authority was removed.
        # TLS 1.3 resumes by tickets alone, so none are issued; TLS 1.2 could also resume by session id.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
    return context


def _contents(files: TlsFiles) -> "_Contents":
    roots = files.client_ca.read_bytes() if files.client_ca is not None else None
    return _Contents(cert=files.cert.read_bytes(), key=files.key.read_bytes(), client_ca=roots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """The files' contents at one moment, in the forms that gRPC takes."""

    cert: bytes
    key: bytes
    client_ca: bytes | None

    def configuration(self) -> "grpc.ServerCertificateConfiguration":
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.cert)], root_certificates=self.client_ca
        )

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials(
            [(self.key, self.cert)], self.client_ca, self.client_ca is not None
        )

    @property
    def first_certificate(self) -> bytes:
        """The server's own certificate as DER, which a client is shown. Empty when the PEM has an unusual form."""
        found = _PEM.search(self.cert.decode("ascii", "replace"))
        return ssl.PEM_cert_to_DER_cert(found[0]) if found else b""
