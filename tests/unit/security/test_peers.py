"""Whom a call is said to come from, and who may say so."""

import pytest

from relay_server.security.peers import Peers


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:50312", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:50312", "2001:db8::1"),
        ("ipv6:[::1]:50312", "::1"),
        ("unix:", "unix"),
        ("unix:/run/relay.sock", "unix"),
    ],
)
def test_the_address_of_a_connection(peer: str, address: str) -> None:
    assert Peers().address(peer, ()) == address


def test_only_the_gateway_speaks_for_others() -> None:
    mine, other = Peers(), Peers()
    for said, address in (
        (mine.metadata("192.0.2.7"), "192.0.2.7"),
        (other.metadata("192.0.2.7"), "unix"),
        (("relay-peer", " 192.0.2.7"), "unix"),
        (("relay-peer", b"\xff 192.0.2.7"), "unix"),
        (("x-forwarded-for", "192.0.2.7"), "unix"),
    ):
        assert mine.address("unix:", [("a", "b"), said]) == address
