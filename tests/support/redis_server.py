"""Starts Redis servers for tests, each in a short folder behind a unix socket, and ends them by process id."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from relay_server.storage import StorageConfig
from relay_server.storage.connect import Node, Nodes
from relay_server.storage.link import Link
from relay_server.storage.router import Single
from relay_server.storage.urls import read_url

_START_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A running server that keeps nothing on disk unless its options say so."""

    socket: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def link(self) -> Link:
        """A link for an engine. Close its router."""
        return link_to(self.client())

    def socket_of(self, key: bytes) -> str:
        """The one there is: every key is here."""
        return self.socket

    def client(self) -> Redis:
        """A client that never sends a command twice. Close it in the loop that used it."""
        return Redis(unix_socket_path=self.socket, protocol=2, retry=Retry(NoBackoff(), 0))

    def raw_client(self) -> Redis:
        """A client that gives replies as the server sent them, not as redis-py reshapes them for some commands."""
        client = self.client()
        client.response_callbacks.clear()
        return client

    def kill(self) -> None:
        """SIGKILL; a test that restarts a server starts another one in the same folder."""
        self.process.kill()
        self.process.wait()


def link_to(client: Redis) -> Link:
    """A link for an engine, to one server by this client."""
    return Link(
        Single(Node(address=None, client=client, pipe_client=client, pubsub_client=client, timeout_s=5.0))
    )


def start_server(
    binary: Path, *options: str, folder: Path | None = None, config_file: Path | None = None
) -> RedisServer:
    """Starts a server and waits until it answers. A folder that is given is kept when it ends."""
    home = folder or Path(tempfile.mkdtemp(prefix="relay-redis-", dir="/tmp"))
    path = home / "s"
    path.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *((binary, config_file) if config_file else (binary,)),
            *("--port", "0", "--unixsocket", path, "--dir", home, "--save", ""),
            *("--daemonize", "no", *options),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = RedisServer(socket=str(path), folder=home, process=process)
    try:
        _wait_until_it_answers(server)
    except BaseException:
        server.kill()
        raise
    return server


@contextmanager
def running_server(binary: Path, *options: str) -> Iterator[RedisServer]:
    """A server for one block; its folder goes with it."""
    server = start_server(binary, *options)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


def _wait_until_it_answers(server: RedisServer) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(server.socket):
        code = server.process.poll()
        assert code is None, f"the Redis server ended at once with {code}"
        assert time.monotonic() < deadline, f"the Redis server did not answer within {_START_TIMEOUT_S} s"
        time.sleep(0.005)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def client_as_relay(url: str, config: StorageConfig | None = None) -> Redis:
    """The client that Relay itself makes for the one server that the URL names. Close it with `aclose()`."""
    return Nodes(read_url(url), config or StorageConfig()).single().client
