"""The asyncio producer: the surface of `Client`, awaited."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc.aio

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from relay_client._batches import (
    BULK_CALLS_MAX,
    Bulk,
    Chunk,
    Result,
    for_each,
    sort_out,
    to_request,
    to_results,
)
from relay_client._coalesce_async import AsyncCoalescer
from relay_client._retry import DEFAULT_TIMEOUT, call_async, parse_timeout
from relay_client.connection import Connection, Rotation, connection
from relay_client.durations import DurationLike
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued, JobLike, JobSpec, RetryPolicy, to_wire
from relay_client.tracing import sending, sending_many


@dataclass(frozen=True, slots=True)
class _Link:
    channel: grpc.aio.Channel
    stub: "queue_service_pb2_grpc.QueueServiceAsyncStub"  # a name for type checkers only


class _Core:
    """What a client holds open; it belongs to one event loop of one process."""

    def __init__(self, where: Connection) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self._metadata = where.metadata
        self._links = Rotation(where.targets, lambda target: _link(where.open_async(target)))
        self.coalescer = AsyncCoalescer(self.send)

    async def send(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        """Enqueues the jobs with as few calls as the server allows; RelayError when a call failed for all of them."""
        try:
            return await self._send_once(queue, jobs, deadline)
        except RelayError as error:
            refused, groups = sort_out(error, len(jobs))
        results: dict[int, Result] = dict(refused)
        for group in groups:
            part = [jobs[i] for i in group]
            try:
                sent = await self.send(queue, part, deadline)
            except RelayError as error:
                sent = for_each(error, len(part))
            results.update(zip(group, sent, strict=True))
        return [results[i] for i in range(len(jobs))]

    async def _send_once(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        if len(jobs) == 1:
            single = queue_service_pb2.EnqueueRequest(queue=queue, job=jobs[0])
            answer = await call_async(
                self._links,
                lambda link, timeout: link.stub.Enqueue(single, timeout=timeout, metadata=self._metadata),
                deadline,
            )
            return [Enqueued(answer.job_id, answer.deduplicated)]
        batch = to_request(queue, jobs)
        answers = await call_async(
            self._links,
            lambda link, timeout: link.stub.EnqueueBatch(batch, timeout=timeout, metadata=self._metadata),
            deadline,
        )
        return to_results(answers, jobs)

    async def send_chunk(self, queue: str, chunk: Chunk, timeout: float) -> list[Result] | RelayError:
        try:
            return await self.send(queue, chunk.jobs, time.monotonic() + timeout)
        except RelayError as error:
            return error

    async def close(self) -> None:
        await self.coalescer.close()
        for link in self._links.close():
            await link.channel.close()


def _link(channel: grpc.aio.Channel) -> _Link:
    return _Link(channel, queue_service_pb2_grpc.QueueServiceStub(channel))


class AsyncClient:
    """Enqueues jobs from one event loop. An async context manager; options and rules are those of `Client`.

    It connects on first use and then belongs to that loop. After a fork make a new one.
    """

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        timeout: DurationLike = DEFAULT_TIMEOUT,
        tls: bool = False,
        ca_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        token: str | None = None,
    ) -> None:
        self._timeout = parse_timeout(timeout)
        self._where = connection(
            server, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file, token=token
        )
        self._closed = False
        self._core: _Core | None = None

    async def enqueue(
        self,
        queue: str,
        type: str,  # noqa: A002  # the word of the contract
        payload: Any = None,
        *,
        delay: DurationLike | None = None,
        run_at: datetime | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
        idempotency_window: DurationLike | None = None,
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        max_runtime: DurationLike | None = None,
        expires_at: datetime | None = None,
        content_type: str | None = None,
        job_id: str | None = None,
        timeout: DurationLike | None = None,
    ) -> Enqueued:
        """Adds one job to a queue and returns its id; arguments and errors are those of `Client.enqueue`.

        Cancelling it leaves other calls alone; its own job is not sent, or, if it is on its way, may be accepted.
        """
        spec = JobSpec(
            type=type,
            payload=payload,
            delay=delay,
            run_at=run_at,
            priority=priority,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
            headers=headers or {},
            retry=retry,
            max_runtime=max_runtime,
            expires_at=expires_at,
            content_type=content_type,
            job_id=job_id,
        )
        deadline = time.monotonic() + (self._timeout if timeout is None else parse_timeout(timeout))
        job = to_wire(spec)
        with sending(queue, job):
            return await self._open().coalescer.enqueue(queue, job, deadline)

    async def enqueue_many(
        self,
        queue: str,
        jobs: Iterable[JobLike],
        *,
        timeout: DurationLike | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[Enqueued | RelayError]:
        """Adds many jobs to a queue, one result for each; arguments and rules are those of `Client.enqueue_many`."""
        limit = self._timeout if timeout is None else parse_timeout(timeout)
        core = self._open()
        with sending_many(queue) as batch:
            results = await _send_many(core, queue, jobs, Bulk(batch.headers), limit, progress)
            batch.done(results)
        return results

    async def close(self) -> None:
        """Closes the connections. Calls still in flight end with RelayError. May be repeated."""
        self._closed = True
        core, self._core = self._core, None
        if core is not None:
            await core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> _Core:
        if self._closed:
            raise RelayError("this client is closed; make a new one", code=grpc.StatusCode.CANCELLED)
        if self._core is None:
            # Here and not in __init__: a channel made outside its loop fails later, far from the cause.
            self._core = _Core(self._where)
        if self._core.loop is not asyncio.get_running_loop() or self._core.pid != os.getpid():
            raise RuntimeError(
                "an AsyncClient belongs to one event loop of one process; make another one here"
            )
        return self._core


async def _send_many(
    core: _Core,
    queue: str,
    jobs: Iterable[JobLike],
    bulk: Bulk,
    limit: float,
    progress: Callable[[int], object] | None,
) -> list[Result]:
    slots = asyncio.Semaphore(BULK_CALLS_MAX)

    async def send(chunk: Chunk) -> None:
        try:
            bulk.settle(chunk, await core.send_chunk(queue, chunk, limit))
            if progress is not None:
                progress(bulk.answered)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        for chunk in bulk.chunks(jobs):
            await slots.acquire()
            if bulk.may_send(chunk):
                group.create_task(send(chunk))
            else:
                slots.release()
    return bulk.results()
