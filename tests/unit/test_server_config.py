"""Options of relay-server that cannot be meant are refused before anything starts."""

import pytest
from pydantic import ValidationError

from relay_server.config import Config


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--http", "unix:/tmp/relay.sock"], "HOST:PORT"),
        (["--listen", "off"], "HOST:PORT"),
        (["--listen", "127.0.0.1"], "HOST:PORT"),
        (["--http-allowed-host", "relay.example:8080"], "without a port"),
        (["--http-allowed-host", "https://relay.example"], "without a port"),
        (["--http-allowed-host", ""], "without a port"),
        (["--http-allowed-host", "*"], "without a port"),
    ],
)
def test_what_is_refused(options: list[str], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Config(_cli_parse_args=options)  # type: ignore[call-arg] # taken by BaseSettings


@pytest.mark.parametrize(
    "options",
    [
        ["--http", "off", "--listen", "unix:/tmp/relay.sock"],
        ["--http", "[::1]:0", "--listen", "localhost:0"],
        ["--http-allowed-host", "relay.example", "--http-allowed-host", "[::1]"],
        ["--http-allowed-host", "192.0.2.7", "--http-allowed-host", "2001:db8::1"],
        ["--http-allowed-host", "relay_1.Example."],
    ],
)
def test_what_is_taken(options: list[str]) -> None:
    Config(_cli_parse_args=options)  # type: ignore[call-arg] # taken by BaseSettings
