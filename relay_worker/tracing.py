"""The span of a handler's run, where OpenTelemetry is installed: a child of the producer's, current while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from relay_client import tracing as client_tracing
from relay_worker.model import HeldJob
from relay_worker.outcome import Nack, Outcome, StopReason, word_of

with suppress(ImportError):
    from opentelemetry import context, trace

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class Run:
    """One attempt. Begin and end it in the same thread, or the same task."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))

    def end(self, outcome: Outcome) -> None:
        """Notes the outcome of the job. An error is named by its type: its text may quote the payload."""
        context.detach(self._token)
        if isinstance(outcome, Nack) and outcome.error is not None:
            client_tracing.mark_failed(self._span, outcome.error.type)
        self._span.set_attribute("relay.job.outcome", word_of(outcome))
        self._span.end()


def begin(job: HeldJob) -> Run | None:
    """The span of a handler that is about to run; None without OpenTelemetry."""
    tracer = client_tracing.tracer
    if tracer is None or job.stop is not StopReason.NO:
        return None
    parent = client_tracing.context_of(job.headers)
    producer = trace.get_current_span(parent).get_span_context()
    span = tracer.start_span(
        f"process {job.queue}",
        context=parent,
        kind=trace.SpanKind.CONSUMER,
        links=[trace.Link(producer)] if producer.is_valid else None,
        attributes=client_tracing.attributes("process", job.queue)
        | {
            "messaging.message.id": job.job_id,
            "relay.job.type": job.type,
            "relay.job.attempt": job.attempt,
        },
    )
    return Run(span)


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Makes the trace context of another process current."""
    if not headers:
        yield
        return
    token = context.attach(client_tracing.context_of(headers))
    try:
        yield
    finally:
        context.detach(token)
