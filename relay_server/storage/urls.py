"""Reads Redis URLs: which are supported, and how one may be shown to people."""

import re
from urllib.parse import parse_qs, urlsplit

from relay_server.storage.errors import BadRedisUrl

_SHAPES = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS) or unix:///PATH/TO/SOCKET"
_LATER = {"sentinel": "Sentinel", "cluster": "Cluster"}

# Anything else redis-py would take from a URL (timeouts, retries, protocol) belongs to Relay.
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

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET_OPTION = re.compile(r"(?i)([?&](?:ssl_)?password=)[^&#]*")


def mask_url(url: str) -> str:
    """The URL with every password as `***`; a lone word before @ counts as a password too."""
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    # At the last @: a password may hold an unescaped / ? # or @, and must not show then either.
    userinfo, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        rest = f"{user}:***@{place}" if colon else f"***@{place}"
    return _SECRET_OPTION.sub(r"\1***", (scheme[0] if scheme else "") + rest)


def check_url(url: str) -> None:
    """Raises BadRedisUrl unless the URL is one that `connect` can use as it stands."""
    shown = mask_url(url)
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    topology = _LATER.get(scheme.partition("+")[2])
    if topology is not None:
        raise BadRedisUrl(
            f"--redis-url {shown}: Redis {topology} is not supported yet. "
            f"Give the URL of a single server: {_SHAPES}."
        )
    if scheme not in {"redis", "rediss", "unix"}:
        raise BadRedisUrl(f"--redis-url {shown}: the URL must look like {_SHAPES}.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadRedisUrl(
            f"--redis-url {shown}: host and port cannot be read. Write the URL as {_SHAPES}; "
            "percent-encode special characters in a password (@ is %40, / is %2F, # is %23)."
        ) from None
    if parts.fragment:
        raise BadRedisUrl(
            f"--redis-url {shown}: a # has no meaning here. Percent-encode it as %23 in a password."
        )
    if scheme == "unix" and not parts.path.startswith("/"):
        raise BadRedisUrl(
            f"--redis-url {shown}: the socket path must be absolute, as in unix:///run/redis.sock."
        )
    if scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise BadRedisUrl(f"--redis-url {shown}: the part after the host is the database number, as in /0.")
    unknown = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - _OPTIONS)
    if unknown:
        raise BadRedisUrl(
            f"--redis-url {shown}: unknown option {', '.join(unknown)} in the URL. "
            f"Remove it; the URL takes only {', '.join(sorted(_OPTIONS))}."
        )
