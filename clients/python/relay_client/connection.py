"""How a server is reached: parses targets, holds gRPC options and credentials, turns from a dead target to the next."""

import ipaddress
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Generic, TypedDict, TypeVar

import grpc
import grpc.aio

from relay_client._version import __version__
from relay_client.errors import RelayError

DEFAULT_PORT: Final = 50051
CLIENT_VERSION: Final = f"relay-python/{__version__}"
SERVICE_CONFIG: Final[str] = (
    resources.files("relay_client").joinpath("service_config.json").read_text("utf-8")
)

_MIB: Final = 1 << 20

ChannelT = TypeVar("ChannelT")
Options = tuple[tuple[str, Any], ...]

# The server lets clients ping every 5 s (a quarter of gRPC's own default would get GOAWAY "too many pings").
_OPTIONS: Final[Options] = (
    ("grpc.primary_user_agent", CLIENT_VERSION),
    # The config gives load balancing (round robin over what DNS answers) and the numbers of the retry policy.
    ("grpc.service_config", json.dumps(json.loads(SERVICE_CONFIG))),
    ("grpc.service_config_disable_resolution", 1),
    # The SDK repeats calls itself (see _retry.py); both layers together would multiply attempts.
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Keepalive alone takes a minute to notice a frozen peer.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # By default a failed connect is tried again only after 1 s to 2 min, and calls fail meanwhile.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Despite its name this is how long one connect may take: a black hole must leave time for the next target.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    # Connections are shared through a process-wide pool otherwise, and a forked child would write to its parent's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * _MIB),
    ("grpc.max_send_message_length", 4 * _MIB),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Everything needed to open channels: targets in the order to try them, options, credentials, call metadata."""

    targets: tuple[str, ...]
    options: Options
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]

    def open(self, target: str) -> grpc.Channel:
        """A channel of the threaded stack."""
        if self.credentials is None:
            return grpc.insecure_channel(target, options=self.options)
        return grpc.secure_channel(target, self.credentials, options=self.options)

    def open_async(self, target: str) -> grpc.aio.Channel:
        """A channel of the asyncio stack. Call it inside the running loop: a channel belongs to that one."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(target, options=self.options)
        return grpc.aio.secure_channel(target, self.credentials, options=self.options)


class ConnectionOptions(TypedDict, total=False):
    """How a server is reached, beside its address.

    tls      encrypt, and check the server against `ca_file` (PEM) or the system's authorities; `cert_file` and
             `key_file` are this client's own certificate, for servers that ask for one
    token    bearer token, sent with every call; refused without TLS unless every target is on this machine
    """

    tls: bool
    ca_file: str | Path | None
    cert_file: str | Path | None
    key_file: str | Path | None
    token: str | None


def connection(
    server: str,
    *,
    tls: bool = False,
    ca_file: str | Path | None = None,
    cert_file: str | Path | None = None,
    key_file: str | Path | None = None,
    token: str | None = None,
) -> Connection:
    """Checks the options of a client and makes its Connection; the others are `ConnectionOptions`.

    server  "host:port", several separated by commas, "dns:///name:port" or "unix:path"; port 50051 may be left out

    ValueError names the option and what to change.
    """
    targets = parse_targets(server)
    credentials = _credentials(tls, ca_file, cert_file, key_file)
    local = all(_is_local(target) for target in targets)
    metadata: tuple[tuple[str, str], ...] = ()
    if token is not None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("token: must be one or more printable ASCII characters without spaces")
        if credentials is None and not local:
            raise ValueError("token: would be sent in the clear to another machine; set tls=True")
        metadata = (("authorization", f"Bearer {token}"),)
    options = _OPTIONS
    if local:
        # An http_proxy in the environment is never meant for this machine.
        options += (("grpc.enable_http_proxy", 0),)
    # Shuffled, so that clients spread over the servers of one list.
    order = tuple(random.sample(targets, len(targets)))
    return Connection(targets=order, options=options, credentials=credentials, metadata=metadata)


def parse_targets(server: str) -> tuple[str, ...]:
    """Splits a server option into gRPC targets, in the order written; ValueError says what is wrong with it."""
    targets = tuple(_parse_target(part.strip()) for part in server.split(","))
    return tuple(dict.fromkeys(targets))


def _parse_target(text: str) -> str:
    if text.startswith("unix:"):
        if not text.removeprefix("unix:").strip("/"):
            raise ValueError(f'server: {text!r} names no socket; write "unix:/run/relay.sock"')
        return text
    scheme = "dns:///" if text.startswith("dns:///") else ""
    address = text.removeprefix(scheme)
    if "/" in address or not address or address != "".join(address.split()):
        raise ValueError(
            f'server: {text!r} is not a target; write "host:port", "h1:p1,h2:p2", "dns:///name:port" or "unix:path"'
        )
    host, port = _split_port(address)
    if not host:
        raise ValueError(f'server: {text!r} has no host; write "localhost:{port}"')
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"server: {text!r} has port {port!r}; a port is a number from 1 to 65535")
    return f"{scheme}{host}:{port}"


def _split_port(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, _, rest = address.partition("]")
        return host + "]", rest.removeprefix(":") or str(DEFAULT_PORT)
    if address.count(":") > 1:
        raise ValueError(
            f'server: write the IPv6 address {address!r} in brackets: "[{address}]:{DEFAULT_PORT}"'
        )
    host, colon, port = address.partition(":")
    return host, port if colon else str(DEFAULT_PORT)


def _is_local(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = _split_port(target.removeprefix("dns:///"))[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(
    tls: bool, ca_file: str | Path | None, cert_file: str | Path | None, key_file: str | Path | None
) -> grpc.ChannelCredentials | None:
    if not tls:
        for name, value in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
            if value is not None:
                raise ValueError(f"{name}: has no effect without TLS; set tls=True")
        return None
    if (cert_file is None) != (key_file is None):
        raise ValueError("cert_file and key_file: a client certificate needs both")
    return grpc.ssl_channel_credentials(
        root_certificates=_read("ca_file", ca_file),
        private_key=_read("key_file", key_file),
        certificate_chain=_read("cert_file", cert_file),
    )


def _read(name: str, path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from error


class Rotation(Generic[ChannelT]):
    """The targets of one client with what is open to each. Thread-safe.

    All calls use the current target until one of them reports that it failed; then the next is current.
    What `open` returns may be a channel or anything built on one; it is made on first use and kept.
    """

    def __init__(self, targets: tuple[str, ...], open_: Callable[[str], ChannelT]) -> None:
        self._targets = targets
        self._open = open_
        self._lock = threading.Lock()
        self._at = 0
        self._opened: dict[str, ChannelT] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._targets)

    def current(self) -> tuple[str, ChannelT]:
        """The target to use now, and what is open to it. RelayError once the rotation is closed."""
        with self._lock:
            if self._closed:
                raise RelayError("this client is closed; make a new one", code=grpc.StatusCode.CANCELLED)
            target = self._targets[self._at]
            if target not in self._opened:
                self._opened[target] = self._open(target)
            return target, self._opened[target]

    def move_on(self, target: str) -> None:
        """Turns from this target to the next target, unless another call already did."""
        with self._lock:
            if self._targets[self._at] == target:
                self._at = (self._at + 1) % len(self._targets)

    def close(self) -> list[ChannelT]:
        """Ends the rotation and hands over everything that is open, for the caller to close."""
        with self._lock:
            self._closed = True
            opened = list(self._opened.values())
            self._opened.clear()
            return opened
