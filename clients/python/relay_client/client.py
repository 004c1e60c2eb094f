"""The threaded producer: enqueues jobs from any number of threads, also after a fork."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from relay_client import _forking
from relay_client._batches import (
    BULK_CALLS_MAX,
    Bulk,
    Chunk,
    Result,
)
from relay_client._coalesce import Coalescer
from relay_client._delivery import Delivery, Request
from relay_client._retry import DEFAULT_TIMEOUT, call, parse_timeout
from relay_client.connection import Connection, ConnectionOptions, Rotation, connection
from relay_client.durations import DurationLike
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued, JobLike, JobOptions, JobSpec, to_wire
from relay_client.tracing import sending, sending_batch

_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
# A forked child never uses the gRPC objects it inherits, and never destroys them: that would touch its parent's state.
_inherited: list[object] = []


@dataclass(frozen=True, slots=True)
class _Stub:
    channel: grpc.Channel
    queue: queue_service_pb2_grpc.QueueServiceStub


class _Core:
    """The open parts of a client, which a forked child must make anew."""

    def __init__(self, where: Connection, open_channel: Callable[[str], grpc.Channel]) -> None:
        self._metadata = where.metadata
        self._closing = threading.Event()
        self._stubs = Rotation(where.targets, lambda target: _stub(open_channel(target)))
        self.coalescer = Coalescer(self.send)

    def send(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        """Enqueues the jobs with as few calls as the server allows; RelayError when a call failed for all of them."""
        delivery = Delivery(queue, jobs)
        while (request := delivery.request) is not None:
            try:
                answer = self._call(request, deadline)
            except RelayError as error:
                delivery.failed(error)
            else:
                delivery.answered(answer)
        return delivery.results

    def _call(self, request: Request, deadline: float) -> Any:
        def attempt(stub: _Stub, timeout: float) -> Any:
            with _forking.calls:
                if isinstance(request, queue_service_pb2.EnqueueRequest):
                    return stub.queue.Enqueue(request, timeout=timeout, metadata=self._metadata)
                return stub.queue.EnqueueBatch(request, timeout=timeout, metadata=self._metadata)

        return call(self._stubs, attempt, deadline, self._closing)

    def send_chunk(self, queue: str, chunk: Chunk, timeout: float) -> list[Result] | RelayError:
        try:
            return self.send(queue, chunk.jobs, time.monotonic() + timeout)
        except RelayError as error:
            return error

    def close(self) -> None:
        self._closing.set()
        for stub in self._stubs.close():
            stub.channel.close()


def _stub(channel: grpc.Channel) -> _Stub:
    return _Stub(channel, queue_service_pb2_grpc.QueueServiceStub(channel))


class Client:
    """Enqueues jobs. Thread-safe; usable in a forked child, which opens its own connections. A context manager.

    server   "host:port", several separated by commas, "dns:///name:port" or "unix:path"
    timeout  total time of a call with its repeats: above 0 and below 30 s; default 20 s
    tls      encrypt, and check the server against `ca_file` (PEM) or the system's authorities; `cert_file` and
             `key_file` are this client's own certificate, for servers that ask for one
    token    bearer token, sent with every call; refused without TLS unless every target is on this machine

    Calls that find no server are repeated with the same ids until `timeout`, so a repeat never makes a second job.
    Calls that run at the same time share one RPC per queue. A fork waits for the calls under way, 2 s at most: gRPC
    does not bear a fork in the middle of one. ValueError names an option that cannot be.
    """

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        timeout: DurationLike = DEFAULT_TIMEOUT,
        _open_channel: Callable[[str], grpc.Channel] | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._timeout = parse_timeout(timeout)
        self._where = connection(server, **options)
        self._open_channel = _open_channel or self._where.open
        self._closed = False
        self._core = _Core(self._where, self._open_channel)
        _clients.add(self)

    def enqueue(
        self,
        queue: str,
        type: str,  # noqa: A002  # the word of the contract
        payload: Any = None,
        *,
        timeout: DurationLike | None = None,
        **options: Unpack[JobOptions],
    ) -> Enqueued:
        """Adds one job to a queue and returns its id.

        payload             bytes are sent as they are; anything else becomes JSON
        timeout             of this call with its repeats
        delay               how long to wait ("5m", seconds, timedelta), or run_at: when to start (with a time zone)
        priority            -9 to 9, higher first; default 0
        idempotency_key     a second job with it is not made for idempotency_window, default 24 h
        headers             up to 32; `traceparent` is carried to the worker
        retry               a RetryPolicy
        max_runtime         longest time of one attempt
        expires_at          a job still waiting then becomes a dead letter
        content_type        media type of the payload
        job_id              a UUID; minted by default. After DeadlineExceeded or Unavailable, repeat with the same one

        ValueError or TypeError: an argument cannot be sent. RelayError: the job was refused or no server answered.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else parse_timeout(timeout))
        job = to_wire(JobSpec(type=type, payload=payload, **options))
        with sending(queue, job):
            return self._core.coalescer.enqueue(queue, job, deadline)

    def enqueue_batch(
        self,
        queue: str,
        jobs: Iterable[JobLike],
        *,
        timeout: DurationLike | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[Enqueued | RelayError]:
        """Adds many jobs to a queue, up to 500 jobs and 3 MiB a call and a few calls at once; one result for each job.

        jobs      JobSpecs, mappings of their fields, or pairs (type, payload); taken as they are sent
        timeout   of each call
        progress  called in this thread with the number of jobs answered so far

        A job that is refused has its error in its place. The first call that fails as a whole (no server, no
        credentials) stops the run: its jobs and all after it carry that error.
        """
        limit = self._timeout if timeout is None else parse_timeout(timeout)
        with sending_batch(queue) as batch:
            results = self._send_batch(queue, jobs, Bulk(batch.headers), limit, progress)
            batch.done(results)
        return results

    def _send_batch(
        self,
        queue: str,
        jobs: Iterable[JobLike],
        bulk: Bulk,
        limit: float,
        progress: Callable[[int], object] | None,
    ) -> list[Result]:
        core = self._core
        flying: deque[tuple[Chunk, Future[list[Result] | RelayError]]] = deque()

        def land() -> None:
            chunk, future = flying.popleft()
            bulk.settle(chunk, future.result())
            if progress is not None:
                progress(bulk.answered)

        with ThreadPoolExecutor(BULK_CALLS_MAX, thread_name_prefix="relay-enqueue") as pool:
            for chunk in bulk.chunks(jobs):
                if len(flying) == BULK_CALLS_MAX:
                    land()
                if bulk.may_send(chunk):
                    flying.append((chunk, pool.submit(core.send_chunk, queue, chunk, limit)))
            while flying:
                land()
        return bulk.results()

    def close(self) -> None:
        """Closes the connections. Calls still in flight in other threads end with RelayError. May be repeated."""
        self._closed = True
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _renew(self) -> None:
        _inherited.append(self._core)
        if not self._closed:
            self._core = _Core(self._where, self._open_channel)


def _after_fork() -> None:
    for client in list(_clients):
        client._renew()


os.register_at_fork(after_in_child=_after_fork)
