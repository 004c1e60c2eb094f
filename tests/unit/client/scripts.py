"""A scripted QueueService on a real gRPC server: records what it is asked, fails when told to, answers the rest."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from relay.v1 import errors_pb2, queue_service_pb2, queue_service_pb2_grpc

Request = queue_service_pb2.EnqueueRequest | queue_service_pb2.EnqueueBatchRequest
Fault = Any  # google.rpc.Status, which has no types
Rule = Callable[[Request], Fault | None]


def fault(
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "scripted",
    *,
    metadata: dict[str, str] | None = None,
    retry_after: float | None = None,
    violations: dict[str, str] | None = None,
) -> Fault:
    """A google.rpc.Status with the details that Relay sends."""
    details: list[Message] = []
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=retry_after))
        details.append(retry)
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="relay", metadata=metadata or {}))
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, text in violations.items():
            bad.field_violations.add(field=field, description=text)
        details.append(bad)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


UNAVAILABLE = fault(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "Redis is down")


class FakeQueue(queue_service_pb2_grpc.QueueServiceServicer):
    """`faults` are used up first, one a call; then `rule` may refuse; then calls wait for `gate` and are answered."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.faults: deque[Fault] = deque()
        self.rule: Rule = lambda _request: None
        self.job_reasons: dict[str, errors_pb2.ErrorReason.ValueType] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.seen = threading.Condition()

    def wait_for_requests(self, count: int, timeout: float = 10) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.requests) >= count, timeout), (
                f"{len(self.requests)} of {count}"
            )

    def batches(self) -> list[queue_service_pb2.EnqueueBatchRequest]:
        return [r for r in self.requests if isinstance(r, queue_service_pb2.EnqueueBatchRequest)]

    def job_ids(self) -> Counter[str]:
        """How often each job was sent."""
        found: Counter[str] = Counter()
        for request in self.requests:
            jobs = (
                [request.job] if isinstance(request, queue_service_pb2.EnqueueRequest) else list(request.jobs)
            )
            found.update(job.id for job in jobs)
        return found

    def _begin(self, request: Request, context: grpc.ServicerContext) -> None:
        with self.seen:
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            refused = self.faults.popleft() if self.faults else self.rule(request)
            self.seen.notify_all()
        self.gate.wait(30)
        if refused is not None:
            context.abort_with_status(rpc_status.to_status(refused))

    def Enqueue(  # noqa: N802  # the name in the contract
        self, request: queue_service_pb2.EnqueueRequest, context: grpc.ServicerContext
    ) -> queue_service_pb2.EnqueueResponse:
        self._begin(request, context)
        return queue_service_pb2.EnqueueResponse(job_id=request.job.id)

    def EnqueueBatch(  # noqa: N802
        self, request: queue_service_pb2.EnqueueBatchRequest, context: grpc.ServicerContext
    ) -> queue_service_pb2.EnqueueBatchResponse:
        self._begin(request, context)
        response = queue_service_pb2.EnqueueBatchResponse()
        for job in request.jobs:
            reason = self.job_reasons.get(job.type, errors_pb2.ERROR_REASON_UNSPECIFIED)
            response.results.add(job_id="holder" if reason else job.id, reason=reason)
        return response


def fake_queue() -> FakeQueue:
    return FakeQueue()  # type: ignore[abstract]  # at run time the base answers UNIMPLEMENTED


@contextmanager
def serve(queue: FakeQueue, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Runs the servicer on a socket and gives its address."""
    pool = futures.ThreadPoolExecutor(64, thread_name_prefix="fake-server")
    server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(queue, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        queue.gate.set()
        server.stop(grace=0).wait()
        pool.shutdown()
