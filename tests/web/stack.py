"""A whole stack for a browser: Redis, a server program with its HTTP edge, and worker programs."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.redis_binaries import valkey9
from tests.support.redis_server import RedisServer, start_server
from tests.support.waiting import until

WITHIN_S = 30.0


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(slots=True)
class Stack:
    """A server program on ports that stay the same over restarts, and its workers. All end by their pids."""

    redis: RedisServer
    folder: Path
    grpc: str
    http: str
    options: Sequence[str] = ()
    token: str = ""
    server: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.http}/"

    def start_server(self) -> None:
        self.server = self._start(
            "server",
            "from relay_server.cli import main; main()",
            *("--listen", self.grpc, "--http", self.http, "--redis-url", f"unix://{self.redis.socket}"),
            *self.options,
        )
        until(self._ready, WITHIN_S, what="the server's readiness")

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def start_worker(self, *queues: str, concurrency: int = 10) -> subprocess.Popen[bytes]:
        """A worker with the demo's handlers."""
        options = [part for queue in queues for part in ("--queue", queue)]
        worker = self._start(
            f"worker{len(self.workers)}",
            "from relay_worker.cli import main; main()",
            *("relay_worker.demo:jobs", "--server", self.grpc, "--concurrency", str(concurrency), *options),
        )
        self.workers.append(worker)
        return worker

    @contextlib.contextmanager
    def claiming(
        self, queue: str, *, worker_id: str = "undertaker", room: int = 1
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """A worker of any name that claims over HTTP and settles nothing; gives the frames after the first."""
        body = {"queues": [{"queue": queue}], "workerId": worker_id, "maxInFlight": room}
        request = urllib.request.Request(
            f"{self.url}api/v1/claims",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "accept": "application/x-ndjson"},
        )
        with urllib.request.urlopen(request, timeout=15) as frames:
            assert "started" in json.loads(frames.readline())
            yield (json.loads(line) for line in frames)

    def bury(self, queue: str, jobs: Sequence[Mapping[str, Any]], message: str = "no luck") -> list[str]:
        """Ids of new jobs, each rejected by a worker that is gone again."""
        ids = self.enqueue(queue, jobs)
        left = len(ids)
        error = {"type": "app.errors.Unlucky", "message": message, "stack": f"Traceback: {message}"}
        with self.claiming(queue, room=left) as frames:
            while left > 0:
                group = next(frames).get("jobs", {})
                settled = [
                    {
                        "queue": queue,
                        "jobId": one["job"]["id"],
                        "leaseToken": group["leaseToken"],
                        "kind": "NACK_KIND_DEAD",
                        "error": error,
                    }
                    for one in group.get("jobs", [])
                ]
                if settled:
                    self.call("leases:nack", {"jobs": settled})
                left -= len(settled)
        return ids

    def _start(self, name: str, code: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ready(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, (self.folder / "server.log").read_text(errors="replace")
        with contextlib.suppress(OSError):
            return bool(self.call("stats").get("time"))
        return False

    def _headers(self) -> dict[str, str]:
        authorization = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {"content-type": "application/json"} | authorization

    def call(self, path: str, body: Any = None, method: str | None = None) -> dict[str, Any]:
        """One request to the gateway. Raises OSError when it fails."""
        request = urllib.request.Request(
            f"{self.url}api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            found = json.load(answer)
        assert isinstance(found, dict)
        return found

    def enqueue(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """Ids of the jobs."""
        answer = self.call(f"queues/{queue}/jobs:batch", {"jobs": [dict(job) for job in jobs]})
        return [result["jobId"] for result in answer["results"]]

    def stats(self, queue: str) -> dict[str, Any]:
        """Its numbers; nothing while it does not exist."""
        queues: list[dict[str, Any]] = self.call("stats").get("queues", [])
        return next((one for one in queues if one["queue"] == queue), {})

    def number(self, queue: str, name: str) -> int:
        """A size, such as "dead", or a counter, such as "counters.acked"."""
        value: Any = self.stats(queue)
        for part in name.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else value
        return int(value or 0)

    def close(self) -> None:
        for process in [*self.workers, *([self.server] if self.server else [])]:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.redis.kill()
        shutil.rmtree(self.redis.folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def open_stack(*options: str, token: str = "") -> Iterator[Stack]:
    """`options` are further ones of the server; `token` is what calls of the stack itself carry."""
    grpc, http = _free_ports(2)
    stack = Stack(
        redis=start_server(valkey9()),
        folder=Path(tempfile.mkdtemp(prefix="relay-web-", dir="/tmp")),
        grpc=f"127.0.0.1:{grpc}",
        http=f"127.0.0.1:{http}",
        options=options,
        token=token,
    )
    try:
        stack.start_server()
        yield stack
    finally:
        stack.close()
