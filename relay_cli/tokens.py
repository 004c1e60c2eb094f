"""`relay token`: makes and revokes the bearer tokens of a server, in the file that the server reads.

Works on the file alone. The server that reads it (--tokens-file) takes changes within seconds.
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from relay_cli.errors import EXIT_NOT_FOUND, CliError, length, usage
from relay_cli.options import options_of
from relay_cli.output import note, print_json, print_table

app = typer.Typer(
    name="token",
    no_args_is_help=True,
    help="Make, list and revoke the bearer tokens in a server's tokens file.",
)

_ROLES: Final = ("producer", "worker", "viewer", "operator")
_ACTIVE_MAX: Final = 2
_HEADER: Final = "# Bearer tokens of a Relay server, as hashes. Made and changed by: relay token\n"

Table = dict[str, Any]
File = Annotated[
    Path, typer.Option(envvar="RELAY_TOKENS_FILE", metavar="FILE", help="The server's --tokens-file.")
]


def _globs(role: str) -> Any:
    return typer.Option(f"--{role}", metavar="GLOB", help=f"Queues of which it is {role}; may be repeated.")


@app.command(
    "new",
    help="Make a token and print it, once. Without a role it gets those of the principal's other token.",
)
def new(
    context: typer.Context,
    principal: Annotated[
        str, typer.Argument(metavar="PRINCIPAL", help="Who will use it; audit logs say so.")
    ],
    file: File = Path("tokens.toml"),
    producer: Annotated[list[str] | None, _globs("producer")] = None,
    worker: Annotated[list[str] | None, _globs("worker")] = None,
    viewer: Annotated[list[str] | None, _globs("viewer")] = None,
    operator: Annotated[list[str] | None, _globs("operator")] = None,
    expires: Annotated[
        str, typer.Option(metavar="LENGTH", help="How long it is valid, such as 180d; empty: until revoked.")
    ] = "",
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    if not 1 <= len(principal) <= 128 or not principal.isprintable():
        raise usage("PRINCIPAL: must be 1 to 128 printable characters")
    with _alone(file):
        tables, certificates = _read(file) if file.exists() else ([], [])
        active = [one for one in tables if one["principal"] == principal and not _expired(one, now)]
        if len(active) >= _ACTIVE_MAX:
            ids = ", ".join(one["id"] for one in active)
            raise CliError(
                f"{principal} has {_ACTIVE_MAX} tokens already ({ids}); revoke one first: relay token revoke ID"
            )
        globs_of = dict(zip(_ROLES, (producer, worker, viewer, operator), strict=True))
        roles = {role: globs for role, globs in globs_of.items() if globs}
        if not roles and active:
            roles = {role: active[-1][role] for role in _ROLES if active[-1].get(role)}
        if not roles:
            raise usage(
                "give at least one of --producer, --worker, --viewer, --operator, such as --producer 'orders-*'"
            )
        if any(not glob for globs in roles.values() for glob in globs):
            raise usage("a glob of queue names must not be empty; '*' means every queue")
        token_id = secrets.token_hex(4)
        token = f"relay_{token_id}_{secrets.token_urlsafe(32)}"
        table: Table = {
            "id": token_id,
            "principal": principal,
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "created": now,
            **roles,
        }
        if expires:
            table["expires"] = now + length("--expires", expires)
        _write(file, [*tables, table], certificates)
    note(f"token {token_id} of {principal} is in {file}, as a hash; this is the only time it is shown:")
    if options_of(context).json:
        print_json({"id": token_id, "principal": principal, "token": token})
    else:
        typer.echo(token)


@app.command("list", help="List the tokens of a file; the secrets are not in it.")
def list_(context: typer.Context, file: File = Path("tokens.toml")) -> None:
    now = datetime.now(UTC)
    tables, _ = _read(file)
    if options_of(context).json:
        print_json(
            {
                "tokens": [
                    {key: _plain(value) for key, value in one.items() if key != "sha256"} for one in tables
                ]
            }
        )
        return
    rows = [(one["id"], one["principal"], _roles(one), _until(one, now)) for one in tables]
    print_table(("ID", "PRINCIPAL", "ROLES", "VALID UNTIL"), rows)


@app.command("revoke", help="Take a token out of the file; the server refuses it within seconds.")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As relay token list shows it.")],
    file: File = Path("tokens.toml"),
) -> None:
    with _alone(file):
        tables, certificates = _read(file)
        kept = [one for one in tables if one["id"] != token_id]
        if len(kept) == len(tables):
            raise CliError(f"{file} has no token {token_id}; see: relay token list", EXIT_NOT_FOUND)
        _write(file, kept, certificates)
    note(f"token {token_id} is revoked")


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Locks the file, so that two programs that change it read each other's changes."""
    try:
        handle = os.open(file.resolve().parent, os.O_RDONLY)
    except OSError as error:
        raise CliError(f"--file {file}: {error.strerror or error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(file: Path) -> tuple[list[Table], list[Table]]:
    """Its tokens, and its certificates, which are written by hand and kept as they are."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise usage(f"--file {file}: {error}") from None
    tables, certificates = (content.get(kind, []) for kind in ("token", "certificate"))
    for kind, entries in (("token", tables), ("certificate", certificates)):
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise usage(f"--file {file}: {kind}: must be [[{kind}]] tables")
    for n, table in enumerate(tables):
        _check(file, table, n)
    return tables, certificates


def _check(file: Path, table: Table, n: int) -> None:
    """Checks the fields of a token that are used here; the server checks the others."""
    where = f"--file {file}: token {table.get('id', n + 1)!s:.40}"
    for field in ("id", "principal", "sha256"):
        if not isinstance(table.get(field), str):
            raise usage(f"{where}: {field}: must be text in quotes")
    expires = table.get("expires")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise usage(f"{where}: expires: must be a time with its zone, such as 2027-05-23T00:00:00Z")
    for role in _ROLES:
        globs = table.get(role, [])
        if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
            raise usage(f"{where}: {role}: must be a list of globs of queue names")


def _write(file: Path, tables: list[Table], certificates: list[Table]) -> None:
    """Writes the file whole or not at all; a new file is readable by its owner only."""
    text = _HEADER
    for kind, entries in (("token", tables), ("certificate", certificates)):
        text += "".join(f"\n[[{kind}]]\n" + "".join(_lines(one)) for one in entries)
    target = file.resolve()
    try:
        before = target.stat() if target.exists() else None
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            if before is not None:
                os.chown(name, before.st_uid, before.st_gid)  # or its server could not read it any more
                Path(name).chmod(stat.S_IMODE(before.st_mode))
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise CliError(f"--file {file}: cannot be written: {error.strerror or error}") from None


def _lines(table: Table) -> list[str]:
    # JSON's strings and lists of strings are TOML's too.
    return [
        f"{key} = {value.isoformat() if isinstance(value, datetime) else _toml(value)}\n"
        for key, value in table.items()
    ]


def _toml(value: Any) -> str:
    # JSON escapes what is beyond 16 bits as two surrogates, which TOML refuses; TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _expired(table: Table, now: datetime) -> bool:
    return "expires" in table and table["expires"] <= now


def _roles(table: Table) -> str:
    return " ".join(f"{role}={','.join(table[role])}" for role in _ROLES if table.get(role))


def _until(table: Table, now: datetime) -> str:
    if "expires" not in table:
        return "it is revoked"
    return f"{table['expires']:%Y-%m-%d %H:%M} UTC" + (" (expired)" if _expired(table, now) else "")
