"""OpenTelemetry where it is installed: spans of enqueues, and the trace context in a job's headers.

Without it everything here does nothing. Names follow the semantic conventions for messaging. No span holds a payload,
a header or an error's text, which may quote one.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from relay.v1 import job_pb2
from relay_client._version import __version__
from relay_client.errors import RelayError
from relay_client.limits import HEADERS_BYTES_MAX, HEADERS_MAX

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    tracer: "trace.Tracer | None" = None
else:
    tracer = trace.get_tracer("relay", __version__)
    _propagator = TraceContextTextMapPropagator()

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

_OFF: Final = nullcontext()


def attributes(operation: str, queue: str) -> dict[str, Any]:
    """What every span of a queue has."""
    return {
        "messaging.system": "relay",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def sending(queue: str, job: job_pb2.JobSpec) -> "AbstractContextManager[object]":
    """The span of one enqueue. The job carries it to its handler, unless its headers name a traceparent already."""
    return _OFF if tracer is None else _sending(tracer, queue, job)


@contextmanager
def _sending(tracer: "trace.Tracer", queue: str, job: job_pb2.JobSpec) -> "Iterator[None]":
    named = {"messaging.message.id": job.id, "relay.job.type": job.type}
    with _span(tracer, queue, named) as span:
        add(job.headers, current_headers())
        try:
            yield
        except Exception as error:
            failed(span, error)
            raise


class Batch:
    """The span of an enqueue_batch; all its jobs carry it."""

    def __init__(self, span: "Span | None" = None) -> None:
        self._span = span
        self.headers = current_headers()

    def done(self, results: "list[Any]") -> None:
        """Notes how many jobs there were, and of what kind the first error is."""
        if self._span is not None:
            self._span.set_attribute("messaging.batch.message_count", len(results))
            for error in (result for result in results if isinstance(result, RelayError)):
                failed(self._span, error)
                break


def sending_batch(queue: str) -> "AbstractContextManager[Batch]":
    """The span of an enqueue_batch."""
    return nullcontext(Batch()) if tracer is None else _sending_batch(tracer, queue)


@contextmanager
def _sending_batch(tracer: "trace.Tracer", queue: str) -> "Iterator[Batch]":
    with _span(tracer, queue, {}) as span:
        yield Batch(span)


def _span(tracer: "trace.Tracer", queue: str, more: dict[str, str]) -> "AbstractContextManager[Span]":
    return tracer.start_as_current_span(
        f"send {queue}",
        kind=trace.SpanKind.PRODUCER,
        attributes=attributes("send", queue) | more,
        record_exception=False,
        set_status_on_exception=False,
    )


def failed(span: "Span", error: Exception) -> None:
    """Marks a span with the kind of an error."""
    mark_failed(span, (isinstance(error, RelayError) and error.reason) or type(error).__qualname__)


def mark_failed(span: "Span", kind: str) -> None:
    """Marks a span as failed."""
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR)


def current_headers() -> dict[str, str]:
    """The current trace context as headers; empty without one."""
    headers: dict[str, str] = {}
    if tracer is not None:
        _propagator.inject(headers)
    return headers


def context_of(headers: Mapping[str, str]) -> "Context":
    """The trace context that headers carry. Only where OpenTelemetry is installed."""
    return _propagator.extract(headers)


def add(headers: MutableMapping[str, str], found: Mapping[str, str]) -> None:
    """Puts a trace context into a job's headers, unless they have one or no room for it."""
    if not found or "traceparent" in headers:
        return
    sizes = (
        len(name.encode()) + len(value.encode()) for one in (headers, found) for name, value in one.items()
    )
    # A job must not be refused for the context that was added to it.
    if len(headers) + len(found) <= HEADERS_MAX and sum(sizes) <= HEADERS_BYTES_MAX:
        headers.update(found)
