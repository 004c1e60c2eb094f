"""The driver of the Python SDK: relay_client produces, relay_worker works; see PROTOCOL.md."""

import asyncio
import base64
import hashlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from relay_client import Client, Enqueued, JobSpec, RelayError, RetryPolicy, __version__
from relay_client.connection import connection
from relay_worker import Context, Jobs, Reject, RetryLater, Throttled, Worker, WorkerConfig, WorkerFailed

Command = Mapping[str, Any]

_out = threading.Lock()


def say(event: str, **fields: Any) -> None:
    """Writes one event."""
    line = json.dumps({"event": event, **fields})
    with _out:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


# --- producing


def produce(command: Command) -> None:
    """Enqueues as the mode says and tells what became of each job."""
    specs = [_spec(job) for job in command["jobs"]]
    with Client(
        command["target"], timeout=command["deadline_ms"] / 1000, token=command.get("token")
    ) as client:
        queue, results = command["queue"], list[Enqueued | RelayError]()
        match command["mode"]:
            case "each":
                results = [_enqueue(client, queue, spec) for spec in specs]
            case "together":
                with ThreadPoolExecutor(len(specs)) as pool:
                    results = list(pool.map(lambda spec: _enqueue(client, queue, spec), specs))
            case "many":
                results = client.enqueue_batch(queue, specs)
    say("produced", id=command["id"], results=[_result(one) for one in results])


def _enqueue(client: Client, queue: str, spec: JobSpec) -> Enqueued | RelayError:
    try:
        return client.enqueue(
            queue,
            spec.type,
            spec.payload,
            delay=spec.delay,
            priority=spec.priority,
            idempotency_key=spec.idempotency_key,
            headers=spec.headers,
            retry=spec.retry,
            max_runtime=spec.max_runtime,
            content_type=spec.content_type,
        )
    except RelayError as error:
        return error


def _spec(job: Mapping[str, Any]) -> JobSpec:
    fields: dict[str, Any] = {"type": job["type"], "payload": base64.b64decode(job["payload"])}
    optional = ("content_type", "headers", "priority", "idempotency_key")
    fields |= {name: job[name] for name in optional if name in job}
    for name in ("delay", "max_runtime"):
        if f"{name}_ms" in job:
            fields[name] = timedelta(milliseconds=job[f"{name}_ms"])
    if "retry" in job:
        retry: dict[str, Any] = {
            name.removesuffix("_ms"): timedelta(milliseconds=value) if name.endswith("_ms") else value
            for name, value in job["retry"].items()
        }
        fields["retry"] = RetryPolicy(**retry)
    return JobSpec(**fields)


def _result(result: Enqueued | RelayError) -> dict[str, Any]:
    if isinstance(result, Enqueued):
        return {"job_id": result.id, "deduplicated": result.deduplicated}
    return {
        "error": {
            "type": type(result).__name__,
            "reason": result.reason,
            "code": result.code.name,
            "message": str(result),
        }
    }


# --- working


@dataclass(frozen=True)
class Payload:
    """What a handler with `decode: json` asks for."""

    n: float


def handlers(behaviours: Mapping[str, Command]) -> Jobs:
    """A registry that does what the command says."""
    jobs = Jobs()
    for job_type, behaviour in behaviours.items():
        jobs.handler(job_type)(_handler(behaviour))
    return jobs


def _handler(behaviour: Command) -> Callable[..., Any]:
    async def run(ctx: Context, payload: bytes | None) -> None:
        body = {} if payload is None else _body(payload)
        say(
            "job_started",
            job_id=ctx.job_id,
            queue=ctx.queue,
            type=ctx.type,
            attempt=ctx.attempt,
            epoch=ctx.epoch,
            headers=dict(ctx.headers),
            **body,
        )
        try:
            await _behave(behaviour)
        except asyncio.CancelledError:
            say("job_cancelled", job_id=ctx.job_id, epoch=ctx.epoch)
            if behaviour["do"] != "finish":
                raise
        finally:
            say("job_finished", job_id=ctx.job_id, epoch=ctx.epoch)

    async def decoded(payload: Payload, ctx: Context) -> None:
        await run(ctx, None)

    async def as_it_is(payload: bytes, ctx: Context) -> None:
        await run(ctx, payload)

    return decoded if behaviour.get("decode") == "json" else as_it_is


def _body(payload: bytes) -> dict[str, Any]:
    return {"payload_bytes": len(payload), "payload_sha256": hashlib.sha256(payload).hexdigest()}


async def _behave(behaviour: Command) -> None:
    message = behaviour.get("message", "")
    after = timedelta(milliseconds=behaviour.get("after_ms", 0))
    match behaviour["do"]:
        case "fail":
            raise RuntimeError(message)
        case "sleep" | "finish":
            await asyncio.sleep(behaviour["ms"] / 1000)
        case "block":
            time.sleep(behaviour["ms"] / 1000)  # noqa: ASYNC251 - handlers that do this are what is tested
        case "retry_later":
            raise RetryLater(message, after=after)
        case "reject":
            raise Reject(message)
        case "throttled":
            raise Throttled(message, after=after)


class Working:
    """The one worker of this process."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.then_exit = False

    def start(self, command: Command) -> None:
        """Makes the worker and runs it in a thread."""
        config = WorkerConfig(
            queues=command["queues"],
            server=connection(command["target"], token=command.get("token")),
            concurrency=command["concurrency"],
            lease_s=command["lease_ms"] / 1000,
            grace_s=command["grace_ms"] / 1000,
            worker_id=command["worker_id"],
        )
        self.worker = Worker(handlers(command["handlers"]), config)
        threading.Thread(target=self._run, args=(self.worker,), daemon=True).start()
        say("working")

    def _run(self, worker: Worker) -> None:
        error = ""
        try:
            asyncio.run(worker.run())
        except WorkerFailed as failed:
            error = str(failed)
        say("stopped", error=error)
        if self.then_exit:
            leave()

    def drain(self) -> None:
        """What `relay-worker` does on SIGTERM."""
        if self.worker is None:
            leave()
        else:
            self.worker.stop()

    def terminate(self, *_: object) -> None:
        """SIGTERM: drain, then end."""
        self.then_exit = True
        self.drain()


def leave() -> None:
    """Ends the process whatever still runs."""
    with _out:
        sys.stdout.flush()
    os._exit(0)


def serve() -> None:
    """Does what stdin says until it ends."""
    working = Working()
    signal.signal(signal.SIGTERM, working.terminate)
    for line in sys.stdin:
        command = json.loads(line)
        match command["command"]:
            case "hello":
                say(
                    "hello",
                    protocol=1,
                    sdk="relay-python",
                    version=__version__,
                    language="python",
                    capabilities=["produce", "work", "signal"],
                )
            case "produce":
                threading.Thread(target=_guarded, args=(produce, command), daemon=True).start()
            case "work":
                _guarded(working.start, command)
            case "drain":
                working.drain()
            case "exit":
                break
    leave()


def _guarded(action: Callable[[Command], None], command: Command) -> None:
    try:
        action(command)
    except Exception as error:  # noqa: BLE001 - whatever it is, the kit is told
        say("failed", message=f"{command['command']}: {type(error).__name__}: {error}")


def log_to_stderr() -> None:
    """stdout belongs to the events."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


if __name__ == "__main__":
    log_to_stderr()
    serve()
