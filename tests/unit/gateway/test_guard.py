"""Which Host headers reach the pages."""

import pytest

from relay_server.gateway.guard import allowed_hosts, host_of


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8080", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("[::1]evil", ""),
        ("[::1", ""),
        ("localhost:80@evil.example", ""),
        ("localhost:", ""),
        ("evil.example:80", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_of(header) == name


def test_an_address_that_means_any_allows_no_name() -> None:
    assert allowed_hosts("0.0.0.0", ["relay.example"]) == ["localhost", "127.0.0.1", "::1", "relay.example"]
    assert "::" not in allowed_hosts("::", [])
    assert "192.0.2.7" in allowed_hosts("192.0.2.7", [])
    assert "relay.internal" in allowed_hosts("relay.internal", [])
