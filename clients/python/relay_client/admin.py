"""The operator's client: a thin method for each call of AdminService and DeadLetterService, repeated and typed.

Answers are the messages of the contract (`relay.v1`), which documents their fields.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc, job_pb2
from relay.v1 import dead_letter_service_pb2 as dead_pb
from relay_client._moments import moments
from relay_client._retry import DEFAULT_TIMEOUT, call, parse_timeout
from relay_client.connection import ConnectionOptions, Rotation, connection
from relay_client.durations import DurationLike, parse_duration, to_proto
from relay_client.errors import DeadlineExceeded, RelayError, Unavailable, from_rpc_error
from relay_client.limits import PAGE_MAX

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True)
class _Stub:
    channel: grpc.Channel
    admin: admin_service_pb2_grpc.AdminServiceStub
    dead: dead_letter_service_pb2_grpc.DeadLetterServiceStub


def _choice(which: admin_pb.JobFilter | dead_pb.DeadLetterFilter | Iterable[str]) -> dict[str, Any]:
    """The field of a bulk request that says which jobs."""
    if isinstance(which, admin_pb.JobFilter | dead_pb.DeadLetterFilter):
        return {"filter": which}
    return {"ids": dead_pb.JobIds(ids=which)}


def _stub(channel: grpc.Channel) -> _Stub:
    return _Stub(
        channel,
        admin_service_pb2_grpc.AdminServiceStub(channel),
        dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel),
    )


class Admin:
    """What operators do, from any number of threads. A context manager; not for use across a fork.

    server   "host:port", several separated by commas, "dns:///name:port" or "unix:path"
    timeout  total time of a call with its repeats, and of a stream until its first answer: above 0 and below 30 s
    tls, ca_file, cert_file, key_file, token   as for `Client`

    Calls raise RelayError (see `relay_client.errors`). A method that returns an iterator is a stream: it begins
    when the first element is asked for and lasts as long as the work; closing the iterator stops the work where it is.
    """

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        timeout: DurationLike = DEFAULT_TIMEOUT,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._timeout = parse_timeout(timeout)
        where = connection(server, **options)
        self._metadata = where.metadata
        self._closing = threading.Event()
        self._stubs = Rotation(where.targets, lambda target: _stub(where.open(target)))

    def reach(self, timeout: float = 3.0) -> None:
        """Returns when a server answers, be it with an error; Unavailable when every target failed once.

        timeout  seconds for each target. Unlike other calls it does not wait for a server that is starting.
        """
        failure: RelayError | None = None
        for _ in range(len(self._stubs)):
            target, stub = self._stubs.current()
            request = admin_pb.GetServerInfoRequest()
            try:
                stub.admin.GetServerInfo(request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as raised:
                failure = from_rpc_error(raised)
            else:
                return
            silent = failure.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            if not silent or failure.reason:
                return
            self._stubs.move_on(target)
        raise Unavailable(str(failure), code=grpc.StatusCode.UNAVAILABLE)

    # --- one answer

    def server_info(self) -> admin_pb.GetServerInfoResponse:
        """What the server is, allows and runs on."""
        return self._unary(lambda stub: stub.admin.GetServerInfo, admin_pb.GetServerInfoRequest())

    def stats(self, queue: str = "", *, prefix: str = "") -> admin_pb.StatsResponse:
        """The stats of one queue, or of all with this prefix: all pages together, with the time of the last."""
        whole, token = admin_pb.StatsResponse(), ""
        while True:
            request = admin_pb.StatsRequest(queue=queue, prefix=prefix, page_size=PAGE_MAX, page_token=token)
            page = self._unary(lambda stub: stub.admin.Stats, request)
            whole.MergeFrom(page)
            token = page.next_page_token
            if not token:
                whole.next_page_token = ""
                return whole

    def history(self, queue: str, span: DurationLike = "1h") -> admin_pb.GetHistoryResponse:
        """Minute buckets, oldest first; `span` up to 24 h."""
        length = to_proto(parse_duration(span, "span"))
        return self._unary(
            lambda stub: stub.admin.GetHistory, admin_pb.GetHistoryRequest(queue=queue, span=length)
        )

    def queues(self, prefix: str = "") -> Iterator[admin_pb.Queue]:
        """Names and settings of the queues with this prefix, by name."""
        token = ""
        while True:
            page = self._unary(
                lambda stub: stub.admin.ListQueues,
                admin_pb.ListQueuesRequest(prefix=prefix, page_size=PAGE_MAX, page_token=token),
            )
            yield from page.queues
            token = page.next_page_token
            if not token:
                return

    def update_queue(self, queue: str, settings: admin_pb.QueueSettings) -> admin_pb.Queue:
        """Changes the settings that are set; makes the queue when it is new."""
        request = admin_pb.UpdateQueueRequest(queue=queue, settings=settings)
        return self._unary(lambda stub: stub.admin.UpdateQueue, request).queue

    def pause(self, queue: str) -> admin_pb.Queue:
        """Stops claims; jobs in flight go on and enqueues are accepted."""
        return self._unary(lambda stub: stub.admin.PauseQueue, admin_pb.PauseQueueRequest(queue=queue)).queue

    def resume(self, queue: str) -> admin_pb.Queue:
        """Lets claims go on."""
        return self._unary(
            lambda stub: stub.admin.ResumeQueue, admin_pb.ResumeQueueRequest(queue=queue)
        ).queue

    def list_jobs(
        self,
        queue: str,
        state: job_pb2.JobState.ValueType,
        *,
        type: str = "",  # noqa: A002  # the word of the contract
        job_id: str = "",
        page_size: int = 50,
        page_token: str = "",
    ) -> admin_pb.ListJobsResponse:
        """One page; it may be short, even empty, and not the last one (see next_page_token)."""
        request = admin_pb.ListJobsRequest(
            queue=queue, state=state, type=type, job_id=job_id, page_size=page_size, page_token=page_token
        )
        return self._unary(lambda stub: stub.admin.ListJobs, request)

    def get_job(self, queue: str, job_id: str) -> admin_pb.GetJobResponse:
        """One whole job with its failed attempts."""
        return self._unary(lambda stub: stub.admin.GetJob, admin_pb.GetJobRequest(queue=queue, job_id=job_id))

    def run_job_now(self, queue: str, job_id: str) -> None:
        """Makes a delayed job ready; WrongState when it is not delayed."""
        self._unary(lambda stub: stub.admin.RunJobNow, admin_pb.RunJobNowRequest(queue=queue, job_id=job_id))

    def workers(self) -> Iterator[admin_pb.Worker]:
        """Sessions on all servers, by worker id: those with a stream, and for up to a minute those that lost it."""
        token = ""
        while True:
            request = admin_pb.ListWorkersRequest(page_size=PAGE_MAX, page_token=token)
            page = self._unary(lambda stub: stub.admin.ListWorkers, request)
            yield from page.workers
            token = page.next_page_token
            if not token:
                return

    def list_dead_letters(
        self,
        queue: str,
        which: dead_pb.DeadLetterFilter | None = None,
        *,
        page_size: int = 50,
        page_token: str = "",
    ) -> dead_pb.ListDeadLettersResponse:
        """One page, newest death first; it may be short, even empty, and not the last one."""
        request = dead_pb.ListDeadLettersRequest(
            queue=queue, filter=which, page_size=page_size, page_token=page_token
        )
        return self._unary(lambda stub: stub.dead.ListDeadLetters, request)

    def group_dead_letters(self, queue: str) -> dead_pb.GroupDeadLettersResponse:
        """The newest 10 000 dead letters counted by job type and error type."""
        return self._unary(
            lambda stub: stub.dead.GroupDeadLetters, dead_pb.GroupDeadLettersRequest(queue=queue)
        )

    # --- streams

    def watch_stats(self, queue: str = "") -> Iterator[admin_pb.WatchStatsResponse]:
        """A whole snapshot a second, without end. The server sends changes; this puts them together."""
        request = admin_pb.WatchStatsRequest(queue=queue)
        return moments(self._stream(lambda stub: stub.admin.WatchStats, request))

    def audit(self, queue: str = "") -> Iterator[admin_pb.AuditResponse]:
        """Checks the stored data of one queue, or of all; read-only."""
        return self._stream(lambda stub: stub.admin.Audit, admin_pb.AuditRequest(queue=queue))

    def purge_queue(
        self, queue: str, *, confirm: str = "", forget: bool = False, dry_run: bool = False
    ) -> Iterator[admin_pb.PurgeQueueResponse]:
        """Deletes ready, delayed and unreadable jobs. `confirm` is the name again, unless it is a dry run."""
        request = admin_pb.PurgeQueueRequest(queue=queue, confirm=confirm, forget=forget, dry_run=dry_run)
        return self._stream(lambda stub: stub.admin.PurgeQueue, request)

    def cancel_jobs(
        self, queue: str, which: admin_pb.JobFilter | Iterable[str], *, dry_run: bool = False
    ) -> Iterator[admin_pb.CancelJobsResponse]:
        """Cancels jobs by filter or ids."""
        request = admin_pb.CancelJobsRequest(queue=queue, dry_run=dry_run, **_choice(which))
        return self._stream(lambda stub: stub.admin.CancelJobs, request)

    def requeue_dead_letters(
        self, queue: str, which: dead_pb.DeadLetterFilter | Iterable[str], *, dry_run: bool = False
    ) -> Iterator[dead_pb.RequeueDeadLettersResponse]:
        """Sends dead letters back to ready, by filter or ids."""
        request = dead_pb.RequeueDeadLettersRequest(queue=queue, dry_run=dry_run, **_choice(which))
        return self._stream(lambda stub: stub.dead.RequeueDeadLetters, request)

    def purge_dead_letters(
        self, queue: str, which: dead_pb.DeadLetterFilter | Iterable[str], *, dry_run: bool = False
    ) -> Iterator[dead_pb.PurgeDeadLettersResponse]:
        """Deletes dead letters for good, by filter or ids."""
        request = dead_pb.PurgeDeadLettersRequest(queue=queue, dry_run=dry_run, **_choice(which))
        return self._stream(lambda stub: stub.dead.PurgeDeadLetters, request)

    # --- how calls are made

    def _unary(
        self,
        method: "Callable[[_Stub], grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]]",
        request: RequestT,
    ) -> ResponseT:
        def attempt(stub: _Stub, timeout: float) -> ResponseT:
            return method(stub)(request, timeout=timeout, metadata=self._metadata)

        return call(self._stubs, attempt, time.monotonic() + self._timeout, self._closing)

    def _stream(
        self,
        method: "Callable[[_Stub], grpc.UnaryStreamMultiCallable[RequestT, ResponseT]]",
        request: RequestT,
    ) -> Iterator[ResponseT]:
        def attempt(stub: _Stub, timeout: float) -> "tuple[grpc.Call, Iterator[ResponseT], ResponseT | None]":
            stream = method(stub)(request, metadata=self._metadata)
            silent = threading.Event()

            def give_up() -> None:
                silent.set()
                stream.cancel()

            # A deadline on the call would end the stream itself, which may last for hours.
            alarm = threading.Timer(timeout, give_up)
            alarm.daemon = True
            alarm.start()
            try:
                return stream, stream, next(stream, None)
            except grpc.RpcError as error:
                if silent.is_set():
                    code = grpc.StatusCode.DEADLINE_EXCEEDED
                    raise DeadlineExceeded(f"no answer in {timeout:.1f} s", code=code) from error
                raise
            finally:
                alarm.cancel()

        deadline = time.monotonic() + self._timeout
        running, stream, first = call(self._stubs, attempt, deadline, self._closing)
        try:
            if first is not None:
                yield first
            yield from stream
        except grpc.RpcError as raised:
            raise from_rpc_error(raised) from raised
        finally:
            running.cancel()

    def close(self) -> None:
        """Closes the connections and ends running streams. May be repeated."""
        self._closing.set()
        for stub in self._stubs.close():
            stub.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
