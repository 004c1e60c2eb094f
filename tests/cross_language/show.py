"""Workers of three languages on one queue, killed in turn: a command that prints its figures and says what held."""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relay.v1 import admin_service_pb2 as admin
from tests.cross_language.program import Program, job
from tests.support.fleet import Sheet
from tests.support.relay import Relay, connected, eventually, new_queue, server_program

CONCURRENCY = 16
# How long the jobs between two kills take at least, so that whoever is to be killed has work then.
PART_S = 1.5
LEASE_MS = 10_000
# For whatever a machine under load takes its time with; nothing is measured by it.
WITHIN_S = 120.0
BATCH = 500


@dataclass(slots=True, kw_only=True)
class Crew:
    """A worker of each language, each of which may be a later one of its kind, and producers beside them."""

    server: Relay
    queue: str
    work_ms: int
    commands: dict[str, list[str]]
    stack: AsyncExitStack
    producers: dict[str, Program]
    workers: dict[str, Program] = field(default_factory=dict)
    killed: list[Program] = field(default_factory=list)
    generation: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)

    @property
    def all_workers(self) -> list[Program]:
        """Those at work and those that were killed."""
        return [*self.workers.values(), *self.killed]

    async def hire(self, language: str) -> None:
        """Starts a worker and waits until the server knows it."""
        self.generation[language] += 1
        name = f"{language}-{self.generation[language]}"
        program = Program(language, self.server.address)
        self.stack.push_async_callback(program.driver.end)
        await program.driver.start(self.commands[language])
        handlers = {"work": {"do": "sleep", "ms": self.work_ms}}
        await program.work(self.queue, handlers, worker_id=name, concurrency=CONCURRENCY, lease_ms=LEASE_MS)
        self.workers[language] = program

        async def known() -> bool:
            reply = await self.server.admin.ListWorkers(admin.ListWorkersRequest())
            return any(one.worker_id == name and one.connected for one in reply.workers)

        await eventually(known, within=WITHIN_S, what=f"the worker {name}")

    async def kill(self, language: str) -> int:
        """SIGKILL in the middle of work; returns how many handlers were running."""
        victim = self.workers[language]

        def running() -> int:
            assert not victim.driver.broken, victim.driver.broken
            return len(victim.started_jobs()) - len(victim.finished_jobs())

        await eventually(
            lambda: running() >= CONCURRENCY // 2, within=WITHIN_S, what=f"{language} at work on several jobs"
        )
        await victim.driver.kill()
        del self.workers[language]
        self.killed.append(victim)
        return running()

    async def dismiss(self) -> None:
        """Ends the workers; what they said is complete then."""
        await asyncio.gather(*(program.driver.end() for program in self.workers.values()))

    async def enqueue(self, jobs: int) -> None:
        """A share by each language's producer, at the same time."""
        shares = [jobs // 3, jobs // 3, jobs - 2 * (jobs // 3)]
        calls = zip(self.producers.values(), shares, strict=True)
        await asyncio.gather(*(self._enqueue(producer, share) for producer, share in calls))

    async def _enqueue(self, producer: Program, jobs: int) -> None:
        spec = job("work", json.dumps({"from": producer.language}).encode())
        for start in range(0, jobs, BATCH):
            results = await producer.produce(self.queue, [spec] * min(BATCH, jobs - start), mode="many")
            refused = [result for result in results if "error" in result]
            assert not refused, refused[:3]
            self.made += [result["job_id"] for result in results]

    async def stats(self) -> admin.QueueStats:
        reply = await self.server.admin.Stats(admin.StatsRequest(queue=self.queue))
        return reply.queues[0]

    async def done(self, jobs: int) -> None:
        """Waits until so many jobs were acknowledged."""

        async def reached() -> bool:
            return (await self.stats()).counters.acked >= jobs

        await eventually(reached, within=WITHIN_S + jobs / 50, what=f"{jobs} acked jobs")


async def mixed(jobs: int, commands: dict[str, list[str]], *, address: str = "") -> bool:
    """Each worker is killed and replaced in turn while the others work. True when no job was lost or done twice.

    `address` is that of a running server; without it one is started on an embedded store of its own.
    """
    sheet = Sheet(f"{jobs} jobs of three languages, a worker of each, killed and restarted in turn")
    part = jobs // (len(commands) + 1)
    work_ms = int(PART_S * 1000 * CONCURRENCY * len(commands) / part)
    async with _crew(commands, address, work_ms) as crew:
        await asyncio.gather(*(crew.hire(language) for language in commands))
        began = time.monotonic()
        for language in commands:
            running, _ = await asyncio.gather(crew.kill(language), crew.enqueue(part))
            sheet.note(f"at {time.monotonic() - began:.1f} s: {language} killed with {running} jobs running")
            await crew.hire(language)
            sheet.note(f"at {time.monotonic() - began:.1f} s: {language} works again")
        await crew.enqueue(jobs - len(crew.made))
        await crew.done(jobs)
        seconds = time.monotonic() - began
        sheet.note(f"all done after {seconds:.1f} s, of which each job took {work_ms} ms")
        await crew.dismiss()
        await _account(sheet, crew, jobs)
    return sheet.ok


@asynccontextmanager
async def _crew(commands: dict[str, list[str]], address: str, work_ms: int) -> AsyncIterator[Crew]:
    async with AsyncExitStack() as stack:
        if not address:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-mixed-"))
            program = await stack.enter_async_context(
                server_program("--data-dir", str(Path(folder) / "data"))
            )
            address = program.address
        server = await stack.enter_async_context(connected(address))
        producers = await stack.enter_async_context(Program.started(commands, address))
        queue = new_queue()
        # Whoever is unlucky is killed with the same job in hand three times; that must not bury it here.
        settings = admin.QueueSettings(max_expirations=100)
        await server.admin.UpdateQueue(admin.UpdateQueueRequest(queue=queue, settings=settings))
        yield Crew(
            server=server,
            queue=queue,
            work_ms=work_ms,
            commands=commands,
            stack=stack,
            producers=producers,
        )


async def _account(sheet: Sheet, crew: Crew, jobs: int) -> None:
    """By the workers' own words and by the store's."""
    stats = await crew.stats()
    counters = stats.counters
    finished = _count(crew.all_workers)
    # A handler ends before its ack is sent: the jobs of the killed run again, and so do those of lost leases.
    by_living = _count(list(crew.workers.values()))
    again = sum(finished.values()) - len(finished)
    unexcused = sum(n - 1 for n in by_living.values() if n > 1)
    epochs = Counter(
        (one.get("job_id"), one.get("epoch"))
        for program in crew.all_workers
        for one in program.started_jobs()
    )
    per_language = Counter(p.language for p in crew.all_workers for _ in p.finished_jobs())
    sheet.note(f"handlers that ended: {dict(per_language)}; {again} of them for jobs that others ended, too")
    sheet.note(f"leases that ran out: {counters.expired}; stale calls refused: {counters.stale}")
    sheet.check(len(set(crew.made)) == jobs, f"{len(set(crew.made))} jobs were enqueued")
    sheet.check(set(finished) == set(crew.made), f"{len(finished)} distinct jobs were completed, of {jobs}")
    sheet.check(counters.acked == jobs, f"{counters.acked} acks were accepted")
    left = {"ready": stats.ready, "delayed": stats.delayed, "inflight": stats.inflight, "dead": stats.dead}
    sheet.check(not any(left.values()), f"nothing is left in the store: {left}")
    sheet.check(max(epochs.values()) == 1, "no lease was run twice")
    sheet.check(
        unexcused <= counters.stale, f"{unexcused} jobs were ended twice by workers that nobody killed"
    )
    idle = [language for language, program in crew.workers.items() if not program.finished_jobs()]
    sheet.check(not idle, f"every restarted worker took part{': not ' + ', '.join(idle) if idle else ''}")
    broken = [program.driver.broken for program in crew.all_workers if program.driver.broken]
    sheet.check(not broken, f"the workers ended as they were told{': not ' + str(broken) if broken else ''}")
    findings = [
        finding.detail
        async for reply in crew.server.admin.Audit(admin.AuditRequest(queue=crew.queue))
        for finding in reply.findings
    ]
    sheet.check(not findings, f"the audit is clean: {findings[:5] or 'no findings'}")


def _count(programs: Sequence[Program]) -> Counter[str]:
    """Job -> how many handlers ended."""
    return Counter(one.get("job_id") for program in programs for one in program.finished_jobs())
