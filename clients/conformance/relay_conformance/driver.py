"""One driver process: starts it, speaks the control protocol with it, and ends it."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from relay_conformance.record import Record
from relay_conformance.world import World

PROTOCOL = 1
_HELLO_S = 20.0
_EXIT_S = 10.0
_LINE_BYTES_MAX = 4 << 20
_STDERR_BYTES = 16_384
_EVENTS = {"working", "job_started", "job_cancelled", "job_finished", "stopped", "produced"}
# Typed errors beside those of ErrorReason.
_PLAIN_ERRORS = {"DEADLINE_EXCEEDED", "UNAVAILABLE"}


class DriverFailed(Exception):
    """The driver did not do what the control protocol asks; says what."""


class Driver:
    """`events` go into the record; `broken` says what was wrong with the driver itself, or nothing."""

    def __init__(self, record: Record, world: World, reasons: Sequence[str]) -> None:
        self.record = record
        self.world = world
        self.hello: dict[str, Any] = {}
        self.broken = ""
        self.stderr = b""
        self._names = {_plain(one): one for one in {*reasons, *_PLAIN_ERRORS}}
        self._process: asyncio.subprocess.Process | None = None
        self._greeted = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []
        self._asked_to_exit = False

    async def start(self, command: Sequence[str]) -> None:
        """Starts the process and exchanges hellos; DriverFailed when that does not work."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES_MAX,
                # A group of its own, so that what it starts ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise DriverFailed(f"the driver {command[0]!r} cannot be started: {error.strerror}") from None
        self._readers = [
            asyncio.create_task(self._read_events()),
            asyncio.create_task(self._read_stderr()),
        ]
        await self.tell("hello", protocol=PROTOCOL)
        try:
            async with asyncio.timeout(_HELLO_S):
                await self._greeted.wait()
        except TimeoutError:
            raise DriverFailed(f"no hello within {_HELLO_S:g} s") from None
        if self.broken:
            raise DriverFailed(self.broken)
        if self.hello.get("protocol") != PROTOCOL:
            raise DriverFailed(
                f"the driver speaks protocol {self.hello.get('protocol')!r}; this kit speaks {PROTOCOL}"
            )

    async def tell(self, command: str, **fields: Any) -> None:
        """Sends a command."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._asked_to_exit = self._asked_to_exit or command == "exit"
        line = json.dumps({"command": command, **{k: v for k, v in fields.items() if v is not None}})
        with suppress(ConnectionError):  # it ended: its readers say so
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    def terminate(self) -> None:
        """Sends SIGTERM; the process is then expected to end."""
        assert self._process is not None
        self._asked_to_exit = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Sends SIGKILL; what the driver wrote before is in the record afterwards."""
        assert self._process is not None
        self._asked_to_exit = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def end(self) -> None:
        """Asks the driver to exit, and kills what does not."""
        if self._process is None:
            return
        if self._process.returncode is None:
            await self.tell("exit")
        try:
            async with asyncio.timeout(_EXIT_S):
                code = await self._process.wait()
            if code != 0:
                self.fail(f"the driver ended with code {code}")
        except TimeoutError:
            self.fail(f"the driver did not end within {_EXIT_S:g} s of exit")
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def fail(self, why: str) -> None:
        """Notes what is wrong with the driver; the first thing counts."""
        self.broken = self.broken or why
        self._greeted.set()

    async def _read_events(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                self._take(line)
        except ValueError:
            self.fail(f"the driver wrote a line of more than {_LINE_BYTES_MAX} bytes")
            return
        code = await self._process.wait()
        if not self._asked_to_exit:
            self.fail(f"the driver ended by itself, with code {code}")
        self.record.add("exited", code=code)

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65_536):
            self.stderr = (self.stderr + data)[-_STDERR_BYTES:]

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind = event.pop("event")
        except (ValueError, KeyError, AttributeError, TypeError):
            self.fail(f"the driver wrote a line that is no event: {line[:200]!r}")
            return
        if kind == "hello":
            self.hello = event
            self._greeted.set()
        elif kind == "failed":
            self.fail(f"the driver says: {event.get('message')}")
        elif kind in _EVENTS:
            if "job_id" in event:
                event["job"] = self.world.name_of(event["job_id"])
            self.record.add(kind, **event)
            if kind == "produced":
                self._results(event)
        else:
            self.fail(f"the driver wrote an unknown event: {kind!r}")

    def _results(self, event: dict[str, Any]) -> None:
        for index, result in enumerate(event.get("results", [])):
            error = result.get("error")
            fields: dict[str, Any] = {"id": event.get("id"), "index": index, "ok": error is None}
            if error is None:
                fields |= {"job_id": result.get("job_id"), "deduplicated": result.get("deduplicated")}
            else:
                fields |= {key: error.get(key) for key in ("type", "reason", "code", "message")}
                fields["is"] = self._names.get(_plain(str(error.get("type"))), error.get("type"))
            self.record.add("result", **fields)


def payload64(payload: bytes) -> str:
    """A payload as the control protocol carries it."""
    return base64.b64encode(payload).decode()


def _plain(name: str) -> str:
    """A name of a typed error without what languages add to it: ErrQueueFull, QueueFullError and QUEUE_FULL are one."""
    bare = name.replace("_", "").removeprefix("Err").removesuffix("Error")
    return bare.lower()
