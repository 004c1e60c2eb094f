"""Which Host headers reach the pages, and which requests come from pages of others."""

import pytest
from starlette.requests import Request

from relay_server.gateway.admitting.guard import allowed_hosts, check_origin, host_of
from relay_server.gateway.admitting.refusals import Refused
from relay_server.security.audit import Audit


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


@pytest.mark.parametrize(
    ("host", "origin", "site", "allowed"),
    [
        # over what the listener speaks: http and https
        ("localhost:8080", None, None, (True, True)),
        ("localhost:8080", None, "none", (True, True)),
        ("localhost:8080", "http://localhost:8080", "same-origin", (True, False)),
        ("relay.example", "http://relay.example:80", None, (True, False)),
        ("relay.example", "https://relay.example", "same-origin", (True, True)),
        ("relay.example:443", "https://relay.example", None, (True, True)),
        ("localhost:8080", "http://localhost:3000", "same-site", (False, False)),
        ("localhost:8080", "https://localhost:3000", None, (False, False)),
        ("localhost:8080", "http://localhost", None, (False, False)),
        ("localhost:8080", "null", None, (False, False)),
        ("localhost:8080", "", None, (False, False)),
        ("localhost:8080", "ftp://localhost:8080", None, (False, False)),
        ("localhost:8080", "https://localhost:8080.evil.example", None, (False, False)),
        ("localhost:8080", "https://localhost:8080", "cross-site", (False, False)),
    ],
)
def test_where_a_request_may_come_from(
    host: str, origin: str | None, site: str | None, allowed: tuple[bool, bool]
) -> None:
    found = {"host": host, "origin": origin, "sec-fetch-site": site}
    headers = [(name.encode(), value.encode()) for name, value in found.items() if value is not None]
    for scheme, one in zip(("http", "https"), allowed, strict=True):
        request = Request({"type": "http", "scheme": scheme, "headers": headers, "client": ("192.0.2.7", 1)})
        if one:
            check_origin(request, Audit(), "Enqueue")
            continue
        with pytest.raises(Refused) as refused:
            check_origin(request, Audit(), "Enqueue")
        assert refused.value.http == 403
