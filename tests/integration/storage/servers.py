"""Servers to reach: real ones with chosen options, and a forged one."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import hiredis
from redis.exceptions import RedisError

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T]], timeout_s: float = 20) -> T:
    """What `probe` returns once it is true and raises no error of a connection."""
    deadline = time.monotonic() + timeout_s
    while True:
        problem: object = "nothing true"
        try:
            value = await probe()
            if value:
                return value
        except (RedisError, OSError) as error:
            problem = error
        assert time.monotonic() < deadline, f"after {timeout_s} s still: {problem}"
        await asyncio.sleep(0.01)


async def _accepts(socket: str) -> bool:
    _, writer = await asyncio.open_unix_connection(socket)
    writer.close()
    return True


@asynccontextmanager
async def running(binary: Path, *options: str) -> AsyncIterator[tuple[str, int]]:
    """A server without persistence unless asked, at (URL, pid); the URL is a unix socket's."""
    with tempfile.TemporaryDirectory(prefix="relay-test-", dir="/tmp") as folder:
        socket = f"{folder}/s"
        process = await asyncio.create_subprocess_exec(
            binary,
            *("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", *options),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await until(lambda: _accepts(socket))
            yield f"unix://{socket}", process.pid
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


Answer = Callable[[list[bytes]], bytes]


@asynccontextmanager
async def forged(answer: Answer) -> AsyncIterator[str]:
    """A server at the URL that replies to each command with the bytes `answer` makes of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        try:
            while data := await reader.read(4096):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    writer.write(answer(command))
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
