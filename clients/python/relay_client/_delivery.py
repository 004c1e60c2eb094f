"""Decides which calls bring jobs into a queue, also after a batch was refused. No I/O, shared by both stacks."""

from collections.abc import Generator, Sequence
from typing import Any

from relay.v1 import job_pb2, queue_service_pb2
from relay_client._batches import Result, failures, sort_out, to_request, to_results
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued

Request = queue_service_pb2.EnqueueRequest | queue_service_pb2.EnqueueBatchRequest
_Steps = Generator[Request, Any, list[Result]]


class Delivery:
    """The calls of one send: make the call of `request` and report its end, until that is None; then read `results`."""

    __slots__ = ("_steps", "request", "results")

    def __init__(self, queue: str, jobs: Sequence[job_pb2.JobSpec]) -> None:
        self._steps = _steps(queue, jobs)
        self.results: list[Result] = []
        self.request: Request | None = next(self._steps)

    def answered(self, response: Any) -> None:
        """The call was answered with the message of its kind; RelayError when that cannot be the answer to it."""
        try:
            self.request = self._steps.send(response)
        except StopIteration as end:
            self.request, self.results = None, end.value

    def failed(self, error: RelayError) -> None:
        """The call failed; raises `error` when it failed for all of the jobs."""
        try:
            self.request = self._steps.throw(error)
        except StopIteration as end:
            self.request, self.results = None, end.value


def _steps(queue: str, jobs: Sequence[job_pb2.JobSpec]) -> _Steps:
    try:
        return (yield from _one_call(queue, jobs))
    except RelayError as error:
        refused, groups = sort_out(error, len(jobs))
    results: dict[int, Result] = dict(refused)
    for group in groups:
        part = [jobs[i] for i in group]
        try:
            sent = yield from _steps(queue, part)
        except RelayError as error:
            sent = failures(error, len(part))
        results.update(zip(group, sent, strict=True))
    return [results[i] for i in range(len(jobs))]


def _one_call(queue: str, jobs: Sequence[job_pb2.JobSpec]) -> _Steps:
    if len(jobs) == 1:
        answer = yield queue_service_pb2.EnqueueRequest(queue=queue, job=jobs[0])
        return [Enqueued(answer.job_id, answer.deduplicated)]
    answer = yield to_request(queue, jobs)
    return to_results(answer, jobs)
