"""Bearer tokens: reads the file of their hashes, and finds the principal of a token.

The file is TOML, one table a token; `relay token` writes it. A principal has two tokens while one replaces the other.

    [[token]]
    id = "3f9a1c2b"                      # the part of the token that may be shown
    principal = "shop"
    sha256 = "…64 hex digits…"           # of the whole token
    producer = ["orders-*"]              # roles: globs of queue names
    expires = 2027-05-23T00:00:00Z       # may be left out

A caller that cannot send a token, such as KEDA, is known by its client certificate:

    [[certificate]]
    name = "keda.example"                # a DNS name or URI it was issued for
    principal = "keda"
    viewer = ["*"]
"""

import hashlib
import hmac
import re
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from relay_server.security.principals import ANYONE, Principal, Role
from relay_server.security.reload import stamp_of

PER_PRINCIPAL_MAX = 2
# relay_ID_SECRET: the id finds the entry, then the hash of the whole token is compared.
_TOKEN = re.compile(r"relay_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOBODYS = "0" * 64
_ID = re.compile(r"[0-9a-f]{8}")
_OF_ALL = {"principal", *(role.value for role in Role)}
_FIELDS = {"token": {"id", "sha256", "created", "expires"} | _OF_ALL, "certificate": {"name"} | _OF_ALL}


class BadTokensFile(OSError):
    """The file cannot be read, or a value in it is not valid. The text names the file, the token and the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    digest: str
    principal: Principal
    expires_s: float


class Tokens:
    """The tokens of a file. `reload` it after a change; a bad file changes nothing."""

    def __init__(self, file: Path, *, certificates: bool = True) -> None:
        """`certificates`: clients show certificates that TLS checks, so the file may have [[certificate]] tables."""
        self._may_name_certificates = certificates
        self.file = file
        self.stamp = stamp_of([file])  # before reading: a change during the read counts as new
        self._entries, self._certificates = self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def reload(self) -> None:
        """Reads the file anew; tokens that are no longer in it are refused from then on. Raises BadTokensFile."""
        self._entries, self._certificates = self._read()

    def _read(self) -> "tuple[Mapping[str, _Entry], Mapping[str, Principal]]":
        entries, certificates = _read(self.file)
        if certificates and not self._may_name_certificates:
            raise BadTokensFile(f"--tokens-file {self.file}: [[certificate]] tables need --tls-client-ca")
        return entries, certificates

    @property
    def knows_certificates(self) -> bool:
        return bool(self._certificates)

    def of_certificate(self, names: Iterable[str]) -> Principal | None:
        """The principal of a client certificate with these names. TLS has checked the certificate already."""
        return next((self._certificates[name] for name in names if name in self._certificates), None)

    def authenticate(self, token: str) -> Principal | None:
        """The token's principal; None for a malformed, unknown, revoked or expired token."""
        found = _TOKEN.fullmatch(token)
        entry = self._entries.get(found[1]) if found else None
        # An unknown id costs the same work, so the time that it takes gives nothing away.
        digest = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        valid = hmac.compare_digest(digest, entry.digest if entry is not None else _NOBODYS)
        return entry.principal if entry is not None and valid and time.time() < entry.expires_s else None


def _read(file: Path) -> tuple[Mapping[str, _Entry], Mapping[str, Principal]]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        text = f"--tokens-file {file}: there is no such file; make it: relay token new NAME --viewer '*' --file {file}"
        raise BadTokensFile(text) from None
    except (OSError, ValueError) as error:
        raise BadTokensFile(f"--tokens-file {file}: {error}") from None
    unknown = sorted(tables.keys() - _FIELDS.keys())
    if unknown:
        raise BadTokensFile(
            f"--tokens-file {file}: {unknown[0]} is not known; write [[token]] and [[certificate]] tables"
        )
    return _tokens(tables, file), _certificates(tables, file)


def _tokens(tables: dict[str, Any], file: Path) -> Mapping[str, _Entry]:
    entries: dict[str, _Entry] = {}
    per_principal: dict[str, int] = {}
    for n, table in enumerate(_list_of(tables.get("token", []), dict, file, "token")):
        where = f"token {table.get('id', n + 1)!s:.40}"
        entry = _entry(table, file, where)
        if table["id"] in entries:
            raise _wrong(file, where, "id", "is there twice")
        name = entry.principal.name
        per_principal[name] = per_principal.get(name, 0) + (entry.expires_s > time.time())
        if per_principal[name] > PER_PRINCIPAL_MAX:
            raise BadTokensFile(
                f"--tokens-file {file}: principal {name} has more than {PER_PRINCIPAL_MAX} tokens that are not "
                "expired; revoke one with: relay token revoke"
            )
        entries[table["id"]] = entry
    return entries


def _certificates(tables: dict[str, Any], file: Path) -> Mapping[str, Principal]:
    known: dict[str, Principal] = {}
    for n, table in enumerate(_list_of(tables.get("certificate", []), dict, file, "certificate")):
        where = f"certificate {table.get('name', n + 1)!s:.80}"
        principal = _principal(table, "certificate", file, where)
        name = table.get("name")
        if not isinstance(name, str) or not name or "*" in name:
            raise _wrong(file, where, "name", "must be a name that certificates carry, without wildcards")
        if name in known:
            raise _wrong(file, where, "name", "is there twice")
        known[name] = principal
    return known


def _entry(table: dict[str, Any], file: Path, where: str) -> _Entry:
    if not _is_text(table.get("id"), _ID):
        raise _wrong(file, where, "id", "must be 8 hex digits in quotes")
    if not _is_text(table.get("sha256"), _SHA256):
        text = "must be the 64 hex digits of the token's SHA-256, never the token itself"
        raise _wrong(file, where, "sha256", text)
    principal = _principal(table, "token", file, where)
    expires = table.get("expires")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise _wrong(file, where, "expires", "must be a time with its zone, such as 2027-05-23T00:00:00Z")
    return _Entry(
        digest=table["sha256"],
        principal=principal,
        expires_s=expires.timestamp() if expires else float("inf"),
    )


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _principal(table: dict[str, Any], kind: str, file: Path, where: str) -> Principal:
    fields = _FIELDS[kind]
    unknown = sorted(table.keys() - fields)
    if unknown:
        raise _wrong(file, where, unknown[0], f"is not known; the fields are {', '.join(sorted(fields))}")
    name = table.get("principal")
    if not isinstance(name, str) or not 1 <= len(name) <= 128 or not name.isprintable():
        raise _wrong(file, where, "principal", "must be 1 to 128 printable characters")
    if name == ANYONE.name:
        raise _wrong(
            file, where, "principal", f"must not be {name}: so everybody is called where nobody is asked"
        )
    grants = {}
    for role in Role:
        globs = _list_of(table.get(role.value, []), str, file, f"{where}: {role.value}")
        if "" in globs:
            raise _wrong(file, where, role.value, "must be globs of queue names; an empty one matches none")
        grants[role] = tuple(globs)
    if not any(grants.values()):
        raise _wrong(file, where, "roles", f"give at least one of {', '.join(role.value for role in Role)}")
    return Principal(name, grants)


def _wrong(file: Path, where: str, field: str, text: str) -> BadTokensFile:
    return BadTokensFile(f"--tokens-file {file}: {where}: {field}: {text}")


def _list_of(value: Any, kind: type, file: Path, where: str) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(one, kind) for one in value):
        what = "globs of queue names" if kind is str else f"[[{where}]] tables"
        raise BadTokensFile(f"--tokens-file {file}: {where}: must be a list of {what}")
    return value
