"""The threaded producer: enqueues jobs from any number of threads, also after a fork."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

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
from relay_client._coalesce import Coalescer
from relay_client._retry import DEFAULT_TIMEOUT, call, parse_timeout
from relay_client.connection import Connection, Rotation, connection
from relay_client.durations import DurationLike
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued, JobLike, JobSpec, RetryPolicy, to_wire
from relay_client.tracing import sending, sending_many

_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
# A forked child never uses the gRPC objects it inherits, and never destroys them: that would touch its parent's state.
_inherited: list[object] = []


@dataclass(frozen=True, slots=True)
class _Link:
    channel: grpc.Channel
    stub: queue_service_pb2_grpc.QueueServiceStub


class _Core:
    """What a client holds open, and what a forked child must make anew."""

    def __init__(self, where: Connection, open_channel: Callable[[str], grpc.Channel]) -> None:
        self._metadata = where.metadata
        self._closing = threading.Event()
        self._links = Rotation(where.targets, lambda target: _link(open_channel(target)))
        self.coalescer = Coalescer(self.send)

    def send(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        """Enqueues the jobs with as few calls as the server allows; RelayError when a call failed for all of them."""
        try:
            return self._send_once(queue, jobs, deadline)
        except RelayError as error:
            refused, groups = sort_out(error, len(jobs))
        results: dict[int, Result] = dict(refused)
        for group in groups:
            part = [jobs[i] for i in group]
            try:
                sent = self.send(queue, part, deadline)
            except RelayError as error:
                sent = for_each(error, len(part))
            results.update(zip(group, sent, strict=True))
        return [results[i] for i in range(len(jobs))]

    def _send_once(self, queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        if len(jobs) == 1:
            single = queue_service_pb2.EnqueueRequest(queue=queue, job=jobs[0])
            answer = call(
                self._links,
                lambda link, timeout: link.stub.Enqueue(single, timeout=timeout, metadata=self._metadata),
                deadline,
                self._closing,
            )
            return [Enqueued(answer.job_id, answer.deduplicated)]
        batch = to_request(queue, jobs)
        answers = call(
            self._links,
            lambda link, timeout: link.stub.EnqueueBatch(batch, timeout=timeout, metadata=self._metadata),
            deadline,
            self._closing,
        )
        return to_results(answers, jobs)

    def send_chunk(self, queue: str, chunk: Chunk, timeout: float) -> list[Result] | RelayError:
        try:
            return self.send(queue, chunk.jobs, time.monotonic() + timeout)
        except RelayError as error:
            return error

    def close(self) -> None:
        self._closing.set()
        for link in self._links.close():
            link.channel.close()


def _link(channel: grpc.Channel) -> _Link:
    return _Link(channel, queue_service_pb2_grpc.QueueServiceStub(channel))


class Client:
    """Enqueues jobs. Thread-safe; usable in a forked child, which opens its own connections. A context manager.

    server   "host:port", several separated by commas, "dns:///name:port" or "unix:path"
    timeout  total time of a call with its repeats: above 0 and below 30 s; default 20 s
    tls      encrypt, and check the server against `ca_file` (PEM) or the system's authorities; `cert_file` and
             `key_file` are this client's own certificate, for servers that ask for one
    token    bearer token, sent with every call; refused without TLS unless every target is on this machine

    Calls that find no server are repeated with the same ids until `timeout`, so a repeat never makes a second job.
    Calls that run at the same time share one RPC per queue. ValueError names an option that cannot be.
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
        _open_channel: Callable[[str], grpc.Channel] | None = None,
    ) -> None:
        self._timeout = parse_timeout(timeout)
        self._where = connection(
            server, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file, token=token
        )
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
        """Adds one job to a queue and returns its id.

        payload  bytes are sent as they are; anything else becomes JSON
        delay    how long to wait ("5m", seconds, timedelta), or run_at: when to start (with a time zone)
        priority -9 to 9, higher first
        headers  up to 32; `traceparent` is carried to the worker
        job_id   a UUID; minted when None. After DeadlineExceeded or Unavailable, repeat the call with the same one

        ValueError or TypeError: an argument cannot be sent. RelayError: the job was refused or no server answered.
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
            return self._core.coalescer.enqueue(queue, job, deadline)

    def enqueue_many(
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
        with sending_many(queue) as batch:
            results = self._send_many(queue, jobs, Bulk(batch.headers), limit, progress)
            batch.done(results)
        return results

    def _send_many(
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
