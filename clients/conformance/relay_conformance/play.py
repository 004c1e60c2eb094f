"""Plays one scenario: a driver, broker doubles, and the steps between them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from relay.v1 import errors_pb2, queue_service_pb2
from relay_conformance import scenario as steps
from relay_conformance.checks import always, check, kinds
from relay_conformance.double import BrokerDouble
from relay_conformance.driver import Driver, DriverFailed, payload64
from relay_conformance.feeding import feed
from relay_conformance.proxy import Proxy, proxying
from relay_conformance.record import Record
from relay_conformance.scenario import Scenario
from relay_conformance.wire import add_unknown, duration, outcome, unknown_frame
from relay_conformance.world import World, payload_of

REASONS = [name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()[1:]]
SCENARIO_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a scenario went. `outcome`: pass, fail or skip; `why` says what was wrong, `story` what was seen."""

    name: str
    about: str
    outcome: str
    why: str = ""
    story: str = ""
    seconds: float = 0.0
    sdk: str = ""


class _Failed(Exception):
    """A step was not fulfilled."""


async def play(name: str, scenario: Scenario, command: Sequence[str]) -> Result:
    """Plays a scenario against a driver. Everything it opened is closed afterwards."""
    began = time.monotonic()
    stage = Stage(scenario)
    why = ""
    try:
        async with asyncio.timeout(SCENARIO_S):
            why = await stage.play(command)
    except TimeoutError:
        why = f"not over within {SCENARIO_S:g} s"
    finally:
        await stage.close()
    missing = stage.missing()
    if why == "" and not missing:
        why = stage.driver.broken or "; ".join(always(stage.world))
    errors = stage.driver.stderr.decode(errors="replace")
    hello = stage.driver.hello
    return Result(
        name=name,
        about=scenario.about,
        outcome="skip" if missing and not why else "fail" if why else "pass",
        why=why or (f"the driver has no capability {', '.join(missing)}" if missing else ""),
        story=f"{stage.record.tell()}\n--- stderr of the driver\n{errors}" if why else "",
        seconds=time.monotonic() - began,
        sdk=f"{hello.get('sdk', '?')} {hello.get('version', '?')} ({hello.get('language', '?')})",
    )


class Stage:
    """What one scenario has running."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.record = Record()
        self.world = World(self.record)
        self.driver = Driver(self.record, self.world, REASONS)
        self.brokers: dict[str, BrokerDouble] = {}
        self.proxies: dict[str, Proxy] = {}
        self.marks: dict[str, int] = {}
        self._stack = AsyncExitStack()

    async def play(self, command: Sequence[str]) -> str:
        """All steps; what went wrong, or nothing."""
        try:
            await self.driver.start(command)
        except DriverFailed as error:
            return str(error)
        if self.missing():
            return ""
        for name, settings in self.scenario.brokers.items():
            broker = self.brokers[name] = BrokerDouble(name, settings, self.world)
            broker.listen()
            if settings.proxy:
                upstream = ("127.0.0.1", broker.port)
                self.proxies[name] = await self._stack.enter_async_context(proxying(upstream))
            if not settings.listening:
                await broker.close()
        for number, step in enumerate(self.scenario.steps, 1):
            try:
                await self._step(step)
            except (_Failed, ValueError) as error:
                asked = step.model_dump_json(exclude_defaults=True)
                return self.driver.broken or f"step {number} {asked}: {error}"
            if self.driver.broken:
                return f"step {number} ({step.do}): {self.driver.broken}"
        return ""

    def missing(self) -> list[str]:
        """Capabilities that the scenario needs and the driver does not have."""
        has = self.driver.hello.get("capabilities", [])
        return [one for one in self.scenario.needs if one not in has] if self.driver.hello else []

    async def close(self) -> None:
        """Ends the driver first, so that it meets no broken broker on its way out."""
        await self.driver.end()
        for broker in self.brokers.values():
            await broker.close()
        await self._stack.aclose()

    def target(self, brokers: Sequence[str]) -> str:
        """Where the driver finds these brokers."""
        ports = [self.proxies[one].port if one in self.proxies else self.brokers[one].port for one in brokers]
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    async def _step(self, step: steps.Step) -> None:
        match step:
            case steps.Work() | steps.Produce() | steps.Command() | steps.Signal():
                await self._tell(step)
            case steps.Expect():
                await self._expect(step)
            case steps.Refute():
                await self._refute(step)
            case steps.Mark():
                self.marks[step.name] = len(self.record.seen)
            case steps.Compare() | steps.Count() | steps.Gaps() | steps.Limit() | steps.Reports():
                if wrong := check(step, self.record, self.marks):
                    raise _Failed(wrong)
            case _:
                await self._direct(step)

    async def _tell(self, step: steps.Work | steps.Produce | steps.Command | steps.Signal) -> None:
        self.record.add("command", command=step.do)
        match step:
            case steps.Work():
                fields = step.model_dump(exclude={"do", "brokers"})
                await self.driver.tell("work", target=self.target(step.brokers), **fields)
            case steps.Produce():
                await self._produce(step)
            case steps.Command():
                await self.driver.tell("drain")
            case steps.Signal():
                self.driver.terminate()

    async def _produce(self, step: steps.Produce) -> None:
        fields = step.model_dump(exclude={"do", "brokers", "jobs", "clients", "id"})
        jobs = [_to_enqueue(job) for job in step.jobs for _ in range(job.copies)]
        for client in range(step.clients):
            name = step.id if step.clients == 1 else f"{step.id}-{client + 1}"
            await self.driver.tell("produce", id=name, target=self.target(step.brokers), jobs=jobs, **fields)

    async def _direct(
        self, step: steps.Answer | steps.Send | steps.Feed | steps.EndStream | steps.Proxy | steps.Switch
    ) -> None:
        """What a broker double does."""
        broker = self._broker(step.broker)
        match step:
            case steps.Answer():
                broker.script(step)
            case steps.Send():
                broker.send(self._frame(step, broker))
            case steps.Feed():
                feed(broker, name=step.name, job_type=step.type, jobs=step.jobs, frame_jobs=step.frame_jobs)
            case steps.EndStream():
                broker.end_stream(step.error)
            case _:
                await self._switch(step, broker)

    def _broker(self, name: str) -> BrokerDouble:
        if name != steps.CURRENT:
            return self.brokers[name]
        open_ones = [broker for broker in self.brokers.values() if broker.stream() is not None]
        if len(open_ones) != 1:
            raise ValueError(f"{len(open_ones)} brokers have an open Claim stream; current needs one")
        return open_ones[0]

    async def _switch(self, step: steps.Proxy | steps.Switch, broker: BrokerDouble) -> None:
        match step.do:
            case "stop_broker":
                await broker.close()
            case "start_broker":
                broker.listen()
            case "silence":
                broker.silent = True
            case _:
                if step.broker not in self.proxies:
                    raise ValueError(f"{step.do}: broker {step.broker!r} has no proxy")
                getattr(self.proxies[step.broker], step.do)()

    def _frame(self, step: steps.Send, broker: BrokerDouble) -> queue_service_pb2.ClaimResponse:
        pb = queue_service_pb2
        lease_ms = step.lease_ms or broker.settings.lease_ms
        if step.jobs is not None or step.again is not None:
            token = b""
            if step.again is None:
                names = self.world.new_jobs(step.jobs or [])
            else:
                names = [step.again]
                token = self.world.latest(step.again).token if step.same_token else b""
                if not step.same_token:
                    self.world.claimed_again(step.again)
            return self.world.deliver(
                names,
                step.queue,
                lease_ms=lease_ms,
                deadline_off_ms=step.deadline_off_ms,
                token=token,
                unknown_fields=step.unknown_fields,
            )
        frame = unknown_frame()
        if step.cancel is not None:
            cancelled = [
                pb.CancelledJob(queue=step.queue, job_id=self.world.jobs[name].job.id, outcome=outcome(why))
                for name, why in step.cancel.items()
            ]
            frame = pb.ClaimResponse(cancel=pb.Cancel(jobs=cancelled))
            for name, why in step.cancel.items():
                if why in {"LEASE_LOST", "GONE"}:
                    self.world.note_lost(name)
        elif step.drain_ms is not None:
            frame = pb.ClaimResponse(drain=pb.Drain(reconnect_after=duration(step.drain_ms)))
        elif step.keep_alive is not None:
            frame = pb.ClaimResponse(keep_alive=pb.KeepAlive(unsettled=step.keep_alive))
        if step.unknown_fields:
            add_unknown(frame)
        return frame

    async def _expect(self, step: steps.Expect) -> None:
        since = self.marks.get(step.since or "", 0)

        def seen() -> int:
            return len(self.record.find(kinds(step.saw), step.where, since))

        found = await self._until(lambda: seen() >= step.count, step.within_ms)
        if not found:
            raise _Failed(f"seen {seen()} times within {step.within_ms} ms")

    async def _refute(self, step: steps.Refute) -> None:
        since = self.marks.get(step.since or "", 0)
        found = await self._until(
            lambda: bool(self.record.find(kinds(step.saw), step.where, since)), step.for_ms
        )
        if found and not self.driver.broken:
            raise _Failed(f"it was seen: {self.record.find(kinds(step.saw), step.where, since)[0]}")

    async def _until(self, condition: Callable[[], bool], within_ms: int) -> bool:
        # A driver that broke ends all waiting.
        held = await self.record.until(lambda: condition() or bool(self.driver.broken), within_ms / 1000)
        return held and condition()


def _to_enqueue(job: steps.JobToEnqueue) -> dict[str, Any]:
    fields = job.model_dump(exclude={"copies", "payload", "payload_bytes"}, exclude_none=True)
    return {**fields, "payload": payload64(payload_of(job.payload, job.payload_bytes))}


async def play_all(
    scenarios: dict[str, Scenario],
    command: Sequence[str],
    *,
    at_once: int,
    on_result: Callable[[Result], None],
) -> list[Result]:
    """Plays all scenarios, some at once; results in the order of their names."""
    slots = asyncio.Semaphore(at_once)

    async def one(name: str, scenario: Scenario) -> Result:
        async with slots:
            result = await play(name, scenario, command)
        on_result(result)
        return result

    return await asyncio.gather(*(one(name, scenario) for name, scenario in scenarios.items()))
