"""Tokens and certificates for tests: a file of tokens as `relay token` makes it, and an authority of one test's own."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import trustme

Metadata = tuple[tuple[str, str], ...]


class TokensFile:
    """A tokens file under construction. Every change is written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables: dict[str, str] = {}
        self._write()

    def add(self, principal: str, expires_s: Any = None, **roles: str) -> str:
        """A new token; `roles` are role=glob."""
        token_id = secrets.token_hex(4)
        token = f"relay_{token_id}_{secrets.token_urlsafe(32)}"
        lines = [f'id = "{token_id}"', f'principal = "{principal}"']
        lines.append(f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"')
        lines += [f'{role} = ["{glob}"]' for role, glob in roles.items()]
        if expires_s is not None:
            lines.append(f"expires = {(datetime.now(UTC) + timedelta(seconds=expires_s)).isoformat()}")
        self._tables[token] = "\n".join(["[[token]]", *lines])
        self._write()
        return token

    def add_certificate(self, name: str, principal: str, **roles: str) -> None:
        """Whoever shows a certificate of this name; `roles` are role=glob."""
        lines = [f'name = "{name}"', f'principal = "{principal}"']
        lines += [f'{role} = ["{glob}"]' for role, glob in roles.items()]
        self._tables[name] = "\n".join(["[[certificate]]", *lines])
        self._write()

    def revoke(self, token: str) -> None:
        del self._tables[token]
        self._write()

    def _write(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text("\n\n".join(self._tables.values()))
        new.replace(self.path)


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


class Authority:
    """Signs certificates for this machine, as PEM files in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.pem)

    def issue(
        self, folder: Path, name: str, *hosts: str, common_name: str | None = None
    ) -> tuple[Path, Path]:
        """The files of a certificate, for these hosts or this machine, and its key; replaced when they are there."""
        made = self._ca.issue_cert(*(hosts or ("localhost", "127.0.0.1")), common_name=common_name)
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain = b"".join(one.bytes() for one in made.cert_chain_pems)
        for file, content in ((key, made.private_key_pem.bytes()), (cert, chain)):
            new = file.with_suffix(".new")
            new.write_bytes(content)
            new.replace(file)
        return cert, key

    def credentials(self, client: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
        """Channel credentials that trust this authority, and show a client's certificate."""
        if client is None:
            return grpc.ssl_channel_credentials(self.pem)
        return grpc.ssl_channel_credentials(self.pem, client[1].read_bytes(), client[0].read_bytes())
