"""Allows an address or a caller so many events within a time: log lines, refusals, cancelled calls."""

import ipaddress
import time
from collections import deque

_ADDRESSES_MAX = 10_000
_IPV6_PREFIX = 64  # providers give each customer a network of at least this size


class Brake:
    """Allows `most` events an address within `window_s` seconds; further events have to wait."""

    def __init__(self, most: int, *, window_s: float = 60.0) -> None:
        self.most = most
        self._window_s = window_s
        self._counted: dict[str, deque[float]] = {}

    def wait_s(self, address: str) -> int:
        """Counts an event and returns 0; or counts nothing and returns the seconds until another one is allowed."""
        address = network_of(address)
        if address not in self._counted and len(self._counted) >= _ADDRESSES_MAX:
            self._counted.pop(next(iter(self._counted)))
        counted, now = self._counted.setdefault(address, deque()), time.monotonic()
        while counted and now - counted[0] >= self._window_s:
            counted.popleft()
        if len(counted) < self.most:
            counted.append(now)
            return 0
        return int(self._window_s - (now - counted[0])) + 1

    def is_over(self, address: str) -> bool:
        """Whether another event would have to wait now. Counts nothing."""
        if not self._counted:
            return False
        counted = self._counted.get(network_of(address))
        if counted is None or len(counted) < self.most:
            return False
        return time.monotonic() - counted[0] < self._window_s


def network_of(peer: str) -> str:
    """The key under which an address is counted: an IPv4 address itself, of an IPv6 address its customer's network."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))
