"""The asyncio producer: the surface of `Client`, awaited."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, Unpack

import grpc.aio

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from relay_client._batches import (
    BULK_CALLS_MAX,
    Bulk,
    Chunk,
    Result,
)
from relay_client._coalesce_async import AsyncCoalescer
from relay_client._delivery import Delivery, Request
from relay_client._retry import DEFAULT_TIMEOUT, call_async, parse_timeout
from relay_client.connection import Connection, ConnectionOptions, Rotation, connection
from relay_client.durations import DurationLike
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued, JobLike, JobOptions, JobSpec, to_wire
from relay_client.tracing import sending, sending_batch


@dataclass(frozen=True, slots=True)
class _Stub:
    channel: grpc.aio.Channel
    queue: "queue_service_pb2_grpc.QueueServiceAsyncStub"  # a name for type checkers only


class _Core:
    """The open parts of a client; they belong to one event loop of one process."""

    def __init__(self, where: Connection) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self._metadata = where.metadata
        self._stubs = Rotation(where.targets, lambda target: _stub(where.open_async(target)))
        self.coalescer = AsyncCoalescer(self.send)

    async def send(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        """Enqueues the jobs with as few calls as the server allows; RelayError when a call failed for all of them."""
        delivery = Delivery(queue, jobs)
        while (request := delivery.request) is not None:
            try:
                answer = await self._call(request, deadline)
            except RelayError as error:
                delivery.failed(error)
            else:
                delivery.answered(answer)
        return delivery.results

    async def _call(self, request: Request, deadline: float) -> Any:
        def attempt(stub: _Stub, timeout: float) -> Awaitable[Any]:
            if isinstance(request, queue_service_pb2.EnqueueRequest):
                return stub.queue.Enqueue(request, timeout=timeout, metadata=self._metadata)
            return stub.queue.EnqueueBatch(request, timeout=timeout, metadata=self._metadata)

        return await call_async(self._stubs, attempt, deadline)

    async def send_chunk(self, queue: str, chunk: Chunk, timeout: float) -> list[Result] | RelayError:
        try:
            return await self.send(queue, chunk.jobs, time.monotonic() + timeout)
        except RelayError as error:
            return error

    async def close(self) -> None:
        await self.coalescer.close()
        for stub in self._stubs.close():
            await stub.channel.close()


def _stub(channel: grpc.aio.Channel) -> _Stub:
    return _Stub(channel, queue_service_pb2_grpc.QueueServiceStub(channel))


class AsyncClient:
    """Enqueues jobs from one event loop. An async context manager; options and rules are those of `Client`.

    It connects on first use and then belongs to that loop. After a fork make a new one.
    """

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        timeout: DurationLike = DEFAULT_TIMEOUT,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._timeout = parse_timeout(timeout)
        self._where = connection(server, **options)
        self._closed = False
        self._core: _Core | None = None

    async def enqueue(
        self,
        queue: str,
        type: str,  # noqa: A002  # the word of the contract
        payload: Any = None,
        *,
        timeout: DurationLike | None = None,
        **options: Unpack[JobOptions],
    ) -> Enqueued:
        """Adds one job to a queue and returns its id; arguments and errors are those of `Client.enqueue`.

        Cancelling it leaves other calls alone; its own job is not sent, or, if it is on its way, may be accepted.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else parse_timeout(timeout))
        job = to_wire(JobSpec(type=type, payload=payload, **options))
        with sending(queue, job):
            return await self._open().coalescer.enqueue(queue, job, deadline)

    async def enqueue_batch(
        self,
        queue: str,
        jobs: Iterable[JobLike],
        *,
        timeout: DurationLike | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[Enqueued | RelayError]:
        """Adds many jobs to a queue, one result for each; arguments and rules are those of `Client.enqueue_batch`."""
        limit = self._timeout if timeout is None else parse_timeout(timeout)
        core = self._open()
        with sending_batch(queue) as batch:
            results = await _send_batch(core, queue, jobs, Bulk(batch.headers), limit, progress)
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


async def _send_batch(
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
