"""Whose share of the server a call takes when nobody is asked who calls."""

from typing import Any

import pytest

from relay_server.rpc.admission import CallBounds
from relay_server.rpc.interceptors import EdgeInterceptor
from relay_server.security.gate import Gate, PrincipalLimits


class From:
    """The context of a call that comes from there."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("ipv4:192.0.2.7:5031", "192.0.2.7"),
        ("ipv6:%5B2001:db8::7%5D:5031", "2001:db8::/64"),
        ("ipv6:%5B2001:db8::8%5D:5031", "2001:db8::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:5031", "192.0.2.7"),
        ("unix:", "unix"),
    ],
)
async def test_addresses_of_one_customer_are_one_caller(peer: str, key: str) -> None:
    """Or who has a /64 would take the turns of the health for all its addresses."""
    bounds = CallBounds(calls=1, readers=1, message_within_s=1.0)
    gate = Gate(None, PrincipalLimits(streams=1, calls_per_s=0))
    edge = EdgeInterceptor(lambda *_: None, gate, bounds)
    context: Any = From(peer)
    async with edge._edge("/grpc.health.v1.Health/Check", context) as call:
        assert call.key == key
