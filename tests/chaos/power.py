"""`python -m tests.chaos.power`: cuts the power of an embedded store while it writes its files anew, again and again.

The store is on an ext4 image of its own, which is shut down as by a power cut: what was not synced is lost. Processes
that are only killed lose nothing that the kernel knows. Needs Linux and root, for the mount.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from redis.asyncio import Redis

from relay.v1 import queue_service_pb2 as pb
from relay.v1.admin_service_pb2 import StatsRequest
from tests.support.redis_binaries import redis7, valkey9
from tests.support.relay import Relay, ServerProgram, connected, eventually, server_program, spec

QUEUE = "orders"
PRODUCERS = 8
PAYLOAD_BYTES_MAX = 9000
_IMAGE_MIB = 400
_EXT4_SHUTDOWN = 0x8004587D
_LOG_FLUSHED, _LOG_NOT_FLUSHED = 1, 2  # whether the journal reached the disk


@dataclass(slots=True)
class Verdict:
    """Of all rounds."""

    rounds: int = 0
    cut: int = 0
    lost: int = 0
    not_started: int = 0

    @property
    def ok(self) -> bool:
        return not self.lost and not self.not_started


class Disk:
    """An ext4 image and where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "image"
        self.place = folder / "disk"
        self.place.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.place))

    def unmount(self) -> bool:
        return subprocess.run(["umount", str(self.place)], capture_output=True, check=False).returncode == 0

    def cut(self, how: int) -> None:
        number = os.open(self.place, os.O_RDONLY)
        fcntl.ioctl(number, _EXT4_SHUTDOWN, struct.pack("I", how))
        os.close(number)


@contextlib.contextmanager
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="relay-power-", dir="/tmp") as name:
        made = Disk(Path(name))
        try:
            yield made
        finally:
            subprocess.run(["umount", "--lazy", str(made.place)], capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


async def _stored(relay: Relay) -> int:
    reply = await relay.admin.Stats(StatsRequest())
    return sum(int(queue.ready) for queue in reply.queues)


async def _produce(relay: Relay, rng: random.Random, acknowledged: list[str]) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):
        while True:
            job = spec(bytes(rng.randrange(1, PAYLOAD_BYTES_MAX)))
            await relay.queue.Enqueue(pb.EnqueueRequest(queue=QUEUE, job=job))
            acknowledged.append(job.id)


def _kill(server: ServerProgram, redis_pid: int) -> None:
    """All of it: Redis and its children are one group, and the server would start it again."""
    server.process.send_signal(signal.SIGSTOP)
    os.killpg(redis_pid, signal.SIGKILL)
    server.kill()
    server.process.wait()


async def cut_power(on: Disk, binary: Path, rng: random.Random) -> int:
    """Returns how many jobs were acknowledged before the power was cut."""
    data_dir, acknowledged = on.place / "data", list[str]()
    async with (
        server_program("--data-dir", str(data_dir), env={"RELAY_REDIS_BINARY": str(binary)}) as server,
        connected(server.address) as relay,
    ):
        producing = [asyncio.create_task(_produce(relay, rng, acknowledged)) for _ in range(PRODUCERS)]
        await eventually(lambda: len(acknowledged) > 100, within=30, what="some jobs")
        async with Redis.from_url(f"unix://{data_dir / 'redis' / 'redis.sock'}") as redis:
            await redis.config_set("rdb-key-save-delay", 200_000)
            await redis.bgrewriteaof()
        redis_pid = json.loads((data_dir / "relay.lock").read_text())["redis_pid"]
        await asyncio.sleep(rng.random() * 0.3)
        on.cut(rng.choice((_LOG_FLUSHED, _LOG_NOT_FLUSHED, _LOG_NOT_FLUSHED)))
        _kill(server, redis_pid)
        for task in producing:
            task.cancel()
        await asyncio.wait(producing)
    await eventually(on.unmount, what="the disk is let go")
    return len(acknowledged)


async def rounds(number: int, seed: int) -> Verdict:
    verdict = Verdict()
    with disk() as on:
        for n in range(number):
            rng = random.Random(seed + n)
            binary = (valkey9, redis7)[n % 2]()
            shutil.rmtree(on.place / "data", ignore_errors=True)
            acknowledged = await cut_power(on, binary, rng)
            on.mount()
            verdict.rounds += 1
            options = ("--data-dir", str(on.place / "data"))
            try:
                async with (
                    server_program(*options, env={"RELAY_REDIS_BINARY": str(binary)}) as server,
                    connected(server.address) as relay,
                ):
                    verdict.cut += "embedded_redis_padding_cut" in server.said()
                    verdict.lost += max(0, acknowledged - await _stored(relay))
            except AssertionError as error:
                verdict.not_started += 1
                print(f"round {n} (seed {seed + n}): {error}", flush=True)
    return verdict


def main() -> int:
    """Exit code 0 when every store started by itself with every acknowledged job."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.power", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        print("python -m tests.chaos.power: mounts a disk image, which takes Linux and root", file=sys.stderr)
        return 2
    print(f"seed {options.seed}: {options.rounds} power cuts", flush=True)
    verdict = asyncio.run(rounds(options.rounds, options.seed))
    print(verdict, flush=True)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
