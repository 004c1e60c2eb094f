"""Speaks HTTP/1.1 over sockets of its own, so that headers, broken requests and slow reading are the test's to choose.

answer = await request(port, "POST", "/api/v1/queues/emails/jobs", json={"job": {"type": "welcome"}})
async with opened(port, "GET", "/api/v1/stats:watch", headers={"Accept": "text/event-stream"}) as stream:
    line = await stream.line()
"""

import asyncio
import json as json_module
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11

WITHIN_S = 20.0
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. Names of headers are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The objects of an NDJSON answer."""
        return [json_module.loads(line) for line in self.body.splitlines()]

    @property
    def reason(self) -> str:
        """The reason in the ErrorInfo of a Status."""
        info = [one for one in self.json["details"] if one["@type"].endswith("ErrorInfo")]
        return str(info[0]["reason"])

    @property
    def violations(self) -> dict[str, str]:
        """What a Status says of fields."""
        found = [one for one in self.json["details"] if one["@type"].endswith("BadRequest")]
        return {one["field"]: one["description"] for one in found[0]["fieldViolations"]}


class Stream:
    """An answer that is read as it comes. `ended` when all of it was, and not because the connection broke."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        self._connection = h11.Connection(h11.CLIENT)
        self._reader = reader
        self._writer = writer
        self._rest = b""

    async def send(self, request: h11.Request, body: bytes) -> None:
        self._writer.write(self._connection.send(request) or b"")
        if body:
            self._writer.write(self._connection.send(h11.Data(data=body)) or b"")
        self._writer.write(self._connection.send(h11.EndOfMessage()) or b"")
        response = await self._event()
        while isinstance(response, h11.InformationalResponse):
            response = await self._event()
        assert isinstance(response, h11.Response), response
        self.status = response.status_code
        self.headers = {name.decode().lower(): value.decode() for name, value in response.headers}

    async def _event(self) -> Any:
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            data = await asyncio.wait_for(self._reader.read(65536), WITHIN_S)
            self._connection.receive_data(data)
        return event

    async def part(self) -> bytes:
        """What came next; b"" at the end."""
        if self.ended:
            return b""
        event = await self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event
        self.ended = True
        return b""

    async def line(self) -> str:
        """The next line, without its end; "" for an empty one. AssertionError when there is none."""
        while b"\n" not in self._rest:
            part = await self.part()
            assert part, f"the stream ended after {self._rest!r}"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def json_line(self) -> Any:
        return json_module.loads(await self.line())

    async def event(self) -> dict[str, str]:
        """The fields of the next server-sent event; a comment is one with the name ""."""
        fields: dict[str, str] = {}
        while line := await self.line():
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        return fields

    async def rest(self) -> bytes:
        parts = [self._rest]
        while part := await self.part():
            parts.append(part)
        return b"".join(parts)

    def leave(self) -> None:
        """Goes away as a closed tab does."""
        self._writer.transport.abort()


@asynccontextmanager
async def opened(
    port: int | Path,
    verb: str,
    path: str,
    *,
    json: Any = _NOTHING,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    host: str | None = None,
    buffered: int | None = None,
) -> AsyncIterator[Stream]:
    """Sends a request on a connection of its own, to a port or a unix socket; on entry the answer has begun.

    `buffered` is about how much of an answer that nobody reads this side takes in, in bytes.
    """
    own = socket.socket(socket.AF_UNIX if isinstance(port, Path) else socket.AF_INET)
    if buffered is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffered)
    own.setblocking(False)
    place = str(port) if isinstance(port, Path) else ("127.0.0.1", port)
    await asyncio.get_running_loop().sock_connect(own, place)
    reader, writer = await asyncio.open_connection(sock=own, limit=buffered or 1 << 16)
    try:
        fields = {
            "Host": host or ("localhost" if isinstance(port, Path) else f"127.0.0.1:{port}"),
            "Connection": "close",
            **(headers or {}),
        }
        if json is not _NOTHING:
            body = json_module.dumps(json).encode()
            fields.setdefault("Content-Type", "application/json")
        if body or verb not in {"GET", "HEAD"}:
            fields.setdefault("Content-Length", str(len(body)))
        stream = Stream(reader, writer)
        await stream.send(h11.Request(method=verb, target=path, headers=list(fields.items())), body)
        yield stream
    finally:
        writer.transport.abort()


async def request(port: int | Path, verb: str, path: str, **options: Any) -> Answer:
    """One request and its whole answer; options are those of `opened`."""
    async with opened(port, verb, path, **options) as stream:
        body = await stream.rest()
        return Answer(status=stream.status, headers=stream.headers, body=body)
