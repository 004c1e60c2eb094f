"""`relay-server healthcheck`: asks the server of this machine whether it takes work, for containers and supervisors.

It runs every few seconds for as long as a server does, so it imports nothing but the standard library.
"""

import argparse
import http.client
import os
import ssl
import sys
from collections.abc import Sequence

_TIMEOUT_S = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server may listen on


def main(arguments: Sequence[str]) -> int:
    """0: it takes work; 1: it does not, and why on stderr. Options default to the server's own variables."""
    options = _parser().parse_args(arguments)
    path = "/healthz" if options.live else "/readyz"
    if options.http == "off":
        print(
            "relay-server healthcheck: asks the HTTP listener, and --http is off; ask grpc.health.v1.Health "
            "on the gRPC listener instead",
            file=sys.stderr,
        )
        return 1
    try:
        status, body = _get(options, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"relay-server healthcheck: no answer from {options.http}: {error}", file=sys.stderr)
        return 1
    if status != http.client.OK:
        print(f"relay-server healthcheck: {status} {body}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay-server healthcheck",
        description="Asks the server on this machine whether it takes work. Exit codes: 0 it does, 1 it does not.",
    )
    parser.add_argument(
        "--http",
        default=os.environ.get("RELAY_HTTP", "127.0.0.1:8080"),
        metavar="HOST:PORT",
        help="the server's HTTP address (default: RELAY_HTTP, else 127.0.0.1:8080)",
    )
    parser.add_argument(
        "--live", action="store_true", help="only whether the process answers, whatever becomes of Redis"
    )
    parser.add_argument(
        "--tls-cert",
        default=os.environ.get("RELAY_TLS_CERT"),
        metavar="FILE",
        help="the server's certificate (default: RELAY_TLS_CERT); given: the listener speaks TLS",
    )
    parser.add_argument(
        "--tls-key",
        default=os.environ.get("RELAY_TLS_KEY"),
        metavar="FILE",
        help="its key (default: RELAY_TLS_KEY), shown to a server that wants certificates of clients",
    )
    return parser


def _get(options: argparse.Namespace, path: str) -> tuple[int, str]:
    host, _, port = options.http.rpartition(":")
    host = host.strip("[]")
    host = _ANYWHERE.get(host, host)
    if options.tls_cert:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, int(port), timeout=_TIMEOUT_S, context=_context(options)
        )
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(1000).decode(errors="replace")
    finally:
        connection.close()


def _context(options: argparse.Namespace) -> ssl.SSLContext:
    """A context that accepts any certificate: the check sends nothing secret."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if options.tls_key:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    return context
