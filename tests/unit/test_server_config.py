"""Options of relay-server that cannot be meant are refused before anything starts."""

import pytest
from pydantic import ValidationError

from relay_server.config import Config


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--http", "unix:/tmp/relay.sock"], "HOST:PORT"),
        (["--metrics", "unix:/tmp/relay.sock"], "HOST:PORT"),
        (["--metrics", "9100"], "HOST:PORT"),
        (["--metrics-queues-max", "100000"], "metrics_queues_max"),
        (["--listen", "off"], "HOST:PORT"),
        (["--listen", "127.0.0.1"], "HOST:PORT"),
        (["--http-allowed-host", "relay.example:8080"], "without a port"),
        (["--http-allowed-host", "https://relay.example"], "without a port"),
        (["--http-allowed-host", ""], "without a port"),
        (["--http-allowed-host", "*"], "without a port"),
    ],
)
def test_bad_options_are_refused(options: list[str], text: str) -> None:
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
def test_good_options_are_taken(options: list[str]) -> None:
    Config(_cli_parse_args=options)  # type: ignore[call-arg] # taken by BaseSettings


_TLS = ["--tls-cert", "a.pem", "--tls-key", "a.key"]
_TOKENS = ["--tokens-file", "tokens.toml"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1:0", False),
        ("127.8.8.8:0", False),
        ("localhost:0", False),
        ("[::1]:0", False),
        ("[::ffff:127.0.0.1]:0", False),
        ("0.0.0.0:0", True),
        ("[::]:0", True),
        ("[::ffff:0.0.0.0]:0", True),
        ("192.0.2.7:0", True),
        ("[2001:db8::1]:0", True),
        ("[fe80::1]:0", True),
        ("no-such-name.invalid:0", True),
    ],
)
@pytest.mark.parametrize("option", ["--listen", "--http", "--metrics"])
def test_the_bind_rule(option: str, address: str, public: bool) -> None:
    other = ["--http", "off"] if option == "--listen" else ["--listen", "127.0.0.1:0"]
    given = [option, address, *other]
    for guards in ([], _TLS, _TOKENS, [*_TLS, "--tls-client-ca", "ca.pem"]):
        if not public:
            Config(_cli_parse_args=[*given, *guards])  # type: ignore[call-arg] # taken by BaseSettings
            continue
        with pytest.raises(ValidationError) as refused:
            Config(_cli_parse_args=[*given, *guards])  # type: ignore[call-arg]
        for name in ("--tls-cert", "--tokens-file"):
            said = str(refused.value).partition("or use a loopback")[0]
            assert (name in said) is (name not in guards)
        assert "--insecure-allow-public-without-auth" in str(refused.value)
    for enough in ([*_TLS, *_TOKENS], ["--insecure-allow-public-without-auth"]):
        Config(_cli_parse_args=[*given, *enough])  # type: ignore[call-arg]


def test_a_socket_is_no_way_round_the_bind_rule_for_http() -> None:
    with pytest.raises(ValidationError, match="reachable from other machines"):
        Config(_cli_parse_args=["--http", "unix:8080"])  # type: ignore[call-arg]


def test_one_address_cannot_take_all_http_connections_and_streams_leave_some() -> None:
    config = Config(_cli_parse_args=[])  # type: ignore[call-arg]
    assert config.http_connections_per_address_max < config.http_connections_max
    assert config.http_streams_max < config.http_connections_max


def test_one_principal_cannot_take_all_http_streams() -> None:
    config = Config()  # type: ignore[call-arg]
    assert config.principal_streams_max < config.http_streams_max


@pytest.mark.parametrize("options", [_TLS[:2], _TLS[2:], ["--tls-client-ca", "ca.pem"]])
def test_half_of_tls(options: list[str]) -> None:
    with pytest.raises(ValidationError, match="--tls-cert"):
        Config(_cli_parse_args=options)  # type: ignore[call-arg]
