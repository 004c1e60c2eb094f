"""Runs what a workload needs and reads what it cost: CPU seconds, RPCs, scripts, Redis commands."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

BIN = Path(sys.executable).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_READY = re.compile(r"relay-server ready grpc=(\S+) http=(\S+) redis=embedded:(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost between two readings: CPU seconds of server and Redis, RPCs answered, EVALSHAs, Redis commands.

    Commands include those that scripts make.
    """

    server_cpu_s: float
    redis_cpu_s: float
    rpcs: int
    scripts: int
    commands: int

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(
            server_cpu_s=self.server_cpu_s - other.server_cpu_s,
            redis_cpu_s=self.redis_cpu_s - other.redis_cpu_s,
            rpcs=self.rpcs - other.rpcs,
            scripts=self.scripts - other.scripts,
            commands=self.commands - other.commands,
        )

    def per_job(self, jobs: int) -> dict[str, float]:
        """The same for each job; CPU in seconds for a million jobs."""
        return {
            "rpcs": self.rpcs / jobs,
            "evalshas": self.scripts / jobs,
            "redis_commands": self.commands / jobs,
            "server_cpu_s_per_million": self.server_cpu_s / jobs * 1e6,
            "redis_cpu_s_per_million": self.redis_cpu_s / jobs * 1e6,
        }


@dataclass(slots=True, kw_only=True)
class Stack:
    """A running server on its embedded Redis, which syncs its log before every answer."""

    target: str
    http: str
    redis: Redis
    server_pid: int
    folder: Path
    _children: ExitStack = field(default_factory=ExitStack)

    def cost(self) -> Cost:
        with urllib.request.urlopen(f"http://{self.http}/metrics") as reply:
            text = reply.read().decode()
        rpcs = sum(
            float(value)
            for value in re.findall(r"^relay_grpc_handled_total\{[^}]*\} (\S+)", text, re.MULTILINE)
        )
        stats: dict[str, dict[str, float]] = self.redis.info("commandstats")
        redis_pid = int(self.redis.info("server")["process_id"])
        calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
        return Cost(
            server_cpu_s=cpu_s(self.server_pid),
            redis_cpu_s=cpu_s(redis_pid),
            rpcs=int(rpcs),
            scripts=calls.get("evalsha", 0),
            commands=sum(calls.values()),
        )

    def version(self) -> str:
        info = self.redis.info("server")
        return f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"

    @contextmanager
    def worker(self, queue: str, *, concurrency: int, record: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """A relay-worker with a no-op handler; ids of finished jobs are in `record` when it has stopped."""
        process = subprocess.Popen(
            [
                *(BIN / "relay-worker", "benchmarks.handlers:jobs", "--server", self.target),
                *("--queue", queue, "--concurrency", str(concurrency), "--log-format", "json"),
            ],
            env={**os.environ, "RELAY_BENCH_RECORD": str(record)},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def running_stack(*options: str) -> Iterator[Stack]:
    """A server with a fresh data folder for one block."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name, ExitStack() as children:
        folder = Path(name)
        log = children.enter_context((folder / "server.log").open("wb"))
        process = subprocess.Popen(
            [
                *(BIN / "relay-server", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"),
                *("--data-dir", str(folder / "data"), *options),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        children.callback(_stop, process)
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = _READY.search(line)
        if found is None:
            raise SystemExit(f"relay-server did not start: {(folder / 'server.log').read_text()[-2000:]}")
        redis = Redis(unix_socket_path=str(folder / "data" / "redis" / "redis.sock"))
        children.callback(redis.close)
        yield Stack(target=found[1], http=found[2], redis=redis, server_pid=process.pid, folder=folder)


def cpu_s(pid: int) -> float:
    """User and system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def wait_until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Polls every 2 ms; SystemExit when it takes too long."""
    ends = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit(f"benchmark: nothing moved within {within_s:g} s")
        time.sleep(0.002)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with process:  # closes its pipe
        process.terminate()
        process.wait(30)
