"""The address that a call comes from, also through the gateway."""

import hmac
import secrets
from collections.abc import Iterable
from urllib.parse import unquote

_NAME = "relay-peer"


class Peers:
    """The gateway calls over a private socket and names its client's address in metadata.

    Any caller could send such metadata, so it carries a key that is made at start-up and known to the gateway alone.
    """

    def __init__(self) -> None:
        self._key = secrets.token_urlsafe(16)

    def metadata(self, address: str) -> tuple[str, str]:
        """The metadata entry that the gateway sends for a client at this address."""
        return _NAME, f"{self._key} {address}"

    def address(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """An IP address, or `unix`; `peer` is how gRPC names the other end, such as ipv4:192.0.2.7:50312."""
        for name, value in metadata:
            key, _, address = (
                value.partition(" ") if name == _NAME and isinstance(value, str) else ("", "", "")
            )
            if hmac.compare_digest(key.encode(), self._key.encode()):
                return address
        kind, _, place = unquote(peer).partition(":")
        return kind if kind == "unix" else place.rpartition(":")[0].strip("[]")
