"""TLS of both listeners: one certificate, one authority of clients, renewed without a restart."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from relay_server.security.reload import stamp_of


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
    """What both listeners need. `reload` after a file changed: new connections get what is in the files now."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.stamp = stamp_of(files.all)  # before they are read: a change that comes between is one
        self._current = _context(files)
        self._configuration = _configuration(files)
        self.context = _context(files)  # which a listener keeps; each handshake goes on with the current one
        self.context.sni_callback = self._take_current

    def reload(self) -> None:
        """Raises BadCertificate, and then what was valid before stays in use."""
        current, configuration = _context(self.files), _configuration(self.files)
        self._current, self._configuration = current, configuration

    def _take_current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC port. gRPC asks at each handshake for what is valid now."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration, lambda: self._configuration, self.files.client_ca is not None
        )


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
        # A resumed session shows no certificate: its client would outlast the authority that signed it. What has no
        # tickets resumes nothing in 1.3; 1.2 would by the session's id.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
    return context


def _configuration(files: TlsFiles) -> "grpc.ServerCertificateConfiguration":
    roots = files.client_ca.read_bytes() if files.client_ca is not None else None
    return grpc.ssl_server_certificate_configuration(
        [(files.key.read_bytes(), files.cert.read_bytes())], root_certificates=roots
    )
