"""The global options, and the connection that a command makes from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import typer

from relay_cli.errors import explain, usage

if TYPE_CHECKING:
    from relay_client import Client
    from relay_client.admin import Admin
    from relay_client.connection import ConnectionOptions

DEFAULT_SERVER: Final = "127.0.0.1:50051"


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The global options. `server_given` is True when --server was written and not taken from elsewhere."""

    server: str
    server_given: bool = False
    output: Output = Output.TABLE
    token: str | None = None
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @property
    def json(self) -> bool:
        return self.output is Output.JSON

    @property
    def connection(self) -> "ConnectionOptions":
        """How the server is reached, as the SDK's clients take it."""
        return {
            "tls": self.tls,
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "token": self.token,
        }

    @contextmanager
    def admin(self) -> Iterator["Admin"]:
        """An operator's client to a server that answers; CliError instead of the SDK's errors."""
        from relay_client.admin import Admin
        from relay_client.errors import RelayError

        try:
            made = Admin(self.server, **self.connection)
        except ValueError as error:
            raise usage(f"--{error}") from error
        try:
            with made as admin:
                admin.reach()
                yield admin
        except RelayError as error:
            raise explain(error, self.server) from error

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A producer's client to a server that answers; CliError instead of the SDK's errors."""
        from relay_client import Client, RelayError

        with self.admin():
            pass
        try:
            with Client(self.server, **self.connection) as client:
                yield client
        except RelayError as error:
            raise explain(error, self.server) from error


def options_of(context: typer.Context) -> Options:
    """The options that the program's callback left for its commands."""
    options = context.find_object(Options)
    assert options is not None
    return options
