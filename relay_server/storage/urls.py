"""Reads Redis URLs: which are supported, what they say, and how one may be shown to people."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from relay_server.storage.errors import BadRedisUrl

_SHAPES = (
    "redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB, redis+cluster://HOST:PORT,HOST:PORT "
    "(rediss for TLS) or unix:///PATH/TO/SOCKET"
)

# redis-py would take more options (timeouts, retries, protocol); those are Relay's to choose.
_OPTIONS = frozenset(
    {
        "db",
        "username",
        "password",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_cert_reqs",
        "ssl_check_hostname",
        "ssl_min_version",
    }
)
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_SHOWN = (_OPTIONS | _SENTINEL_OPTIONS | {"wait_replicas"}) - {
    "password",
    "ssl_password",
    "sentinel_password",
}
_REPLICAS_MAX = 8

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_OPTION = re.compile(r"([?&])([^=&#]*)=[^&]*")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+))(?::(\d{1,5}))?")


class Topology(StrEnum):
    """How many servers hold the data, and who says which."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_DEFAULT_PORTS = {Topology.SINGLE: 6379, Topology.SENTINEL: 26379, Topology.CLUSTER: 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL, read. `node_url` is the URL that redis-py reads for one node; `addresses` have the hosts and ports.

    `addresses` are of the server, of Sentinels, or of cluster nodes; none for a unix socket.
    `wait_replicas` is how many replicas must have a write before it is acknowledged.
    """

    topology: Topology
    addresses: tuple[tuple[str, int], ...]
    node_url: str = field(repr=False)
    service: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    wait_replicas: int = 0


def mask_url(url: str) -> str:
    """The URL with `***` for each password, for a lone word before @, and for the value of each unknown option.

    An unknown option may be a misspelt one with a secret.
    """
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    # Split at the last @: a password may hold an unescaped / ? # or @, and must be masked then too.
    userinfo, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        rest = f"{user}:***@{place}" if colon else f"***@{place}"
    return _OPTION.sub(_masked, (scheme[0] if scheme else "") + rest)


def _masked(option: re.Match[str]) -> str:
    return option[0] if option[2] in _SHOWN and "#" not in option[0] else f"{option[1]}{option[2]}=***"


def read_url(url: str) -> Place:
    """What the URL says. Raises BadRedisUrl, with the fix and without secrets."""
    prefix = f"--redis-url {mask_url(url)}:"
    scheme, _, _ = url.partition("://") if "://" in url else ("", "", "")
    wire, _, suffix = scheme.lower().partition("+")
    if scheme.lower() == "unix":
        return _unix(url, prefix)
    if wire not in {"redis", "rediss"} or suffix not in {"", "sentinel", "cluster"} or scheme.endswith("+"):
        raise BadRedisUrl(f"{prefix} the URL must look like {_SHAPES}.")
    topology = Topology(suffix) if suffix else Topology.SINGLE
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    addresses = _addresses(hosts, _DEFAULT_PORTS[topology], prefix)
    if topology is Topology.SINGLE and len(addresses) > 1:
        raise BadRedisUrl(
            f"{prefix} several hosts need redis+sentinel:// or redis+cluster://; redis:// takes one."
        )
    _refuse_fragment(parts.fragment, prefix)
    service, database = _path(parts.path, topology, prefix)
    options = _options(parts.query, topology, prefix)
    replicas = _replicas(options.pop("wait_replicas", "0"), prefix)
    if topology is Topology.CLUSTER and (database or options.get("db", "0")) not in {"", "0"}:
        raise BadRedisUrl(f"{prefix} a cluster has database 0 only. Remove the number.")
    sentinel = {name: options.pop(name, "") for name in sorted(_SENTINEL_OPTIONS)}
    query = urlencode(options, quote_via=quote)
    # A placeholder: the real addresses are found out later, and this one is never connected to.
    host, port = addresses[0]
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Place(
        topology=topology,
        addresses=addresses,
        node_url=f"{wire}://{userinfo}{at}{netloc}/{database}{'?' if query else ''}{query}",
        service=service,
        wait_replicas=replicas,
        **sentinel,
    )


def _unix(url: str, prefix: str) -> Place:
    parts = urlsplit(url)
    _refuse_fragment(parts.fragment, prefix)
    if not parts.path.startswith("/"):
        raise BadRedisUrl(f"{prefix} the socket path must be absolute, as in unix:///run/redis.sock.")
    options = _options(parts.query, Topology.SINGLE, prefix)
    replicas = _replicas(options.pop("wait_replicas", "0"), prefix)
    query = urlencode(options, quote_via=quote)
    return Place(
        topology=Topology.SINGLE,
        addresses=(),
        node_url=f"unix://{parts.netloc}{parts.path}{'?' if query else ''}{query}",
        wait_replicas=replicas,
    )


def _addresses(hosts: str, default_port: int, prefix: str) -> tuple[tuple[str, int], ...]:
    addresses = []
    for text in hosts.split(","):
        match = _HOST.fullmatch(text) if text or "," in hosts else _HOST.fullmatch("localhost")
        if match is None or int(match[3] or default_port) > 65535:
            raise BadRedisUrl(
                f"{prefix} host and port cannot be read. Write the URL as {_SHAPES}; "
                "percent-encode special characters in a password (@ is %40, / is %2F, # is %23)."
            )
        addresses.append((match[1] or match[2], int(match[3] or default_port)))
    return tuple(addresses)


def _refuse_fragment(fragment: str, prefix: str) -> None:
    if fragment:
        raise BadRedisUrl(f"{prefix} a # has no meaning here. Percent-encode it as %23 in a password.")


def _path(path: str, topology: Topology, prefix: str) -> tuple[str, str]:
    """The service that Sentinels watch, and the database number as text."""
    words = [unquote(word) for word in path.strip("/").split("/") if word]
    service = words.pop(0) if topology is Topology.SENTINEL and words else ""
    if topology is Topology.SENTINEL and not service:
        raise BadRedisUrl(
            f"{prefix} the name of the service that the Sentinels watch is missing, as in "
            "redis+sentinel://HOST:26379/mymaster/0."
        )
    if len(words) > 1 or (words and not words[0].isdecimal()):
        where = "after the service name" if topology is Topology.SENTINEL else "after the host"
        raise BadRedisUrl(f"{prefix} the part {where} is the database number, as in /0.")
    return service, words[0] if words else ""


def _options(query: str, topology: Topology, prefix: str) -> dict[str, str]:
    known = _OPTIONS | {"wait_replicas"} | (_SENTINEL_OPTIONS if topology is Topology.SENTINEL else set())
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - known)
    if unknown:
        raise BadRedisUrl(
            f"{prefix} unknown option {', '.join(unknown)} in the URL. "
            f"Remove it; the URL takes only {', '.join(sorted(known))}."
        )
    return options


def _replicas(text: str, prefix: str) -> int:
    if not text.isdecimal() or int(text) > _REPLICAS_MAX:
        raise BadRedisUrl(f"{prefix} wait_replicas is a number of replicas from 0 to {_REPLICAS_MAX}.")
    return int(text)
