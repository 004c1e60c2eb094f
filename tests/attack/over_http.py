"""Connections to the HTTP listener by hand: what is sent, what is read and what is left unread is the attack's."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.attack.place import Place

_ESTABLISHED = "01"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(place: Place, *, read_bytes: int = 1 << 16) -> Connection:
    """Over TLS; `read_bytes` is about how much this side takes in before it is read."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_bytes)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", place.http_port))
    return await asyncio.open_connection(
        sock=own, ssl=place.tls, server_hostname="localhost", limit=read_bytes
    )


def head(verb: str, path: str, *, token: str = "", more: Mapping[str, str] | None = None) -> bytes:
    """A request without its body."""
    asked = {"Host": "localhost", **({"Authorization": f"Bearer {token}"} if token else {}), **(more or {})}
    lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer, of a length that it says: code, headers by lower-case name, body."""
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in raw[1:])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(raw[0].split()[1]), headers, body


async def get(place: Place, path: str, *, token: str = "", **more: str) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    reader, writer = await connect(place)
    try:
        writer.write(head("GET", path, token=token, more={"Connection": "close", **more}))
        return await answer(reader)
    finally:
        writer.transport.abort()


def open_connections(place: Place, *, unread: bool = False) -> int:
    """How many connections the listener has, as the kernel sees it: who does not read does not notice the end.
    `unread`: those alone for which something waits that their other end does not take."""
    port = f":{place.http_port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [row for row in rows if row[1].endswith(port) and row[3] == _ESTABLISHED]
    return sum(not unread or int(row[4].partition(":")[0], 16) > 0 for row in mine)


async def left_open(place: Place, *, within: float, others: int = 1) -> int:
    """How many connections the server has after that time, or earlier when it has only as many as `others` hold."""
    ends = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < ends:
        if open_connections(place) <= others:
            return 0
        await asyncio.sleep(0.2)
    return open_connections(place)


def abandon(connections: list[Connection]) -> None:
    for _, writer in connections:
        with contextlib.suppress(OSError):
            writer.transport.abort()
