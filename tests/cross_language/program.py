"""One SDK at work: its conformance driver on a real server, told what to do and asked what it saw."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from relay_conformance.driver import Driver, payload64
from relay_conformance.record import Record, Seen
from relay_conformance.world import World
from tests.support.relay import eventually

# Longer than the slowest start of a language's runtime on a machine that does much else.
WITHIN_S = 90.0
Job = dict[str, Any]


class Program:
    """A process with a worker, a producer or both, and the record of what it said."""

    def __init__(self, language: str, address: str) -> None:
        self.language = language
        self.address = address
        self.record = Record()
        self.driver = Driver(self.record, World(self.record), ())

    @classmethod
    @asynccontextmanager
    async def started(
        cls, languages: Mapping[str, Sequence[str]], address: str
    ) -> AsyncIterator[dict[str, "Program"]]:
        """A program for each language, of the command that starts it, for one block."""
        async with AsyncExitStack() as stack:
            programs = {}
            for language, command in languages.items():
                program = programs[language] = cls(language, address)
                stack.push_async_callback(program.driver.end)
                await program.driver.start(command)
            yield programs

    async def produce(self, queue: str, jobs: Sequence[Job], *, mode: str = "each") -> list[dict[str, Any]]:
        """What the SDK answered to each job: {"job_id", "deduplicated"} or {"error"}."""
        call = uuid.uuid4().hex
        await self.driver.tell(
            "produce",
            id=call,
            target=self.address,
            queue=queue,
            jobs=list(jobs),
            mode=mode,
            deadline_ms=25_000,
        )
        answered = await self._until("produced", {"id": call})
        return list(answered[0].get("results"))

    async def work(
        self,
        queue: str,
        handlers: Mapping[str, Mapping[str, Any]],
        *,
        worker_id: str,
        concurrency: int = 8,
        lease_ms: int = 30_000,
    ) -> None:
        """Starts the worker; it need not be connected on return."""
        await self.driver.tell(
            "work",
            target=self.address,
            queues={queue: 1},
            worker_id=worker_id,
            concurrency=concurrency,
            lease_ms=lease_ms,
            grace_ms=10_000,
            handlers=dict(handlers),
        )
        await self._until("working", {})

    def started_jobs(self) -> list[Seen]:
        """The starts of handlers, in order."""
        return self.record.find(("job_started",), {})

    def finished_jobs(self) -> list[Seen]:
        """The ends of handlers, in order."""
        return self.record.find(("job_finished",), {})

    async def _until(self, kind: str, where: Mapping[str, Any]) -> list[Seen]:
        def seen() -> list[Seen]:
            assert not self.driver.broken, f"{self.language}: {self.driver.broken}\n{self._stderr()}"
            return self.record.find((kind,), where)

        found: list[Seen] = await eventually(seen, within=WITHIN_S, what=f"{kind} of {self.language}")
        return found

    def _stderr(self) -> str:
        return self.driver.stderr.decode(errors="replace")


def job(kind: str, payload: bytes = b"{}", **fields: Any) -> Job:
    """A job as the control protocol carries it."""
    return {"type": kind, "payload": payload64(payload), **fields}
