"""One trace from the producer through a real server to the handler, and what its spans tell and do not tell."""

import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from relay.v1 import queue_service_pb2 as pb
from relay.v1.admin_service_pb2 import StatsRequest
from relay.v1.admin_service_pb2_grpc import AdminServiceStub
from relay_client import AsyncClient, Client, IdempotencyMismatch, RelayError, RetryPolicy
from relay_client import tracing as client_tracing
from relay_worker import Context, Jobs, Reject
from relay_worker.testing.plugin import RelayServer, start_server
from tests.integration.conftest import Start
from tests.support.http import request
from tests.support.relay import Relay, new_queue, spec
from tests.support.waiting import until
from tests.support.worker_runner import running

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"
CANARY = "canary-7d1f"
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
Spans = Callable[[str], list[ReadableSpan]]


@pytest.fixture(scope="module")
def server() -> Iterator[RelayServer]:
    with start_server() as started:
        yield started


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Where all spans of the SDK and the worker go, of this test alone."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(client_tracing, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """Finished spans of an operation, oldest first."""

    def of(operation: str) -> list[ReadableSpan]:
        return [span for span in exporter.get_finished_spans() if span.name.startswith(f"{operation} ")]

    return of


@pytest.fixture
def queue() -> str:
    return f"q-{uuid.uuid4().hex[:12]}"


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent(span: ReadableSpan) -> tuple[int, int]:
    assert span.parent is not None
    return span.parent.trace_id, span.parent.span_id


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_producer_and_handler_are_one_trace(server: RelayServer, queue: str, spans: Spans, kind: str) -> None:
    jobs, current = Jobs(), list[tuple[int, int]]()

    def note() -> None:
        context = trace.get_current_span().get_span_context()
        current.append((context.trace_id, context.span_id))

    @jobs.handler("async")
    async def run(payload: str) -> None:
        note()

    @jobs.handler("sync")
    def run_sync(payload: str) -> None:
        note()

    with Client(server.target) as client, running(jobs, server.target, queues={queue: 1}):
        job = client.enqueue(queue, kind, CANARY)
        until(lambda: spans("process"))
    (send,), (process,) = spans("send"), spans("process")
    assert parent(process) == ids(send)
    assert [(link.context.trace_id, link.context.span_id) for link in process.links] == [ids(send)]
    assert current == [ids(process)], "the handler's own spans are children of its run"
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert (send.name, process.name) == (f"send {queue}", f"process {queue}")
    shared = {
        "messaging.system": "relay",
        "messaging.destination.name": queue,
        "messaging.message.id": job.id,
        "relay.job.type": kind,
    }
    named = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert facts(send) == shared | named
    assert facts(process) == shared | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "relay.job.attempt": 1,
        "relay.job.outcome": "ack",
    }


def test_every_attempt_is_a_span_and_none_quotes_the_job(
    server: RelayServer, queue: str, spans: Spans, exporter: InMemorySpanExporter
) -> None:
    jobs = Jobs()

    @jobs.handler("fails")
    async def fails(payload: str, ctx: Context) -> None:
        if ctx.attempt < 3:
            raise ValueError(f"cannot work with {payload}")
        raise Reject(payload)

    with (
        Client(server.target, token=CANARY) as client,
        running(jobs, server.target, queues={queue: 1}),
    ):
        policy = RetryPolicy(initial_backoff="1ms", max_backoff="1ms")
        client.enqueue(queue, "fails", CANARY, headers={"secret": CANARY}, retry=policy)
        until(lambda: len(spans("process")) == 3)
        client.enqueue(queue, "keyed", 1, idempotency_key=CANARY, delay="1h")
        with pytest.raises(IdempotencyMismatch):
            client.enqueue(queue, "keyed", 2, idempotency_key=CANARY)
    (send, _, refused), attempts = spans("send"), spans("process")
    assert facts(refused)["error.type"] == "IDEMPOTENCY_MISMATCH"
    assert [parent(span) for span in attempts] == [ids(send)] * 3
    ends = [(facts(span)["relay.job.attempt"], facts(span)["relay.job.outcome"]) for span in attempts]
    assert ends == [(1, "retry"), (2, "retry"), (3, "dead")]
    assert [facts(span)["error.type"] for span in attempts] == ["ValueError", "ValueError", "Rejected"]
    assert all(span.status.status_code is StatusCode.ERROR for span in attempts)
    assert not any(span.events for span in exporter.get_finished_spans()), "no exception with its text"
    assert CANARY not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_a_job_enqueued_by_a_handler_goes_on_in_its_trace(
    server: RelayServer, queue: str, spans: Spans
) -> None:
    jobs, done = Jobs(), threading.Event()
    with Client(server.target) as client:

        @jobs.handler("first")
        def first(payload: None) -> None:
            client.enqueue(queue, "second")

        @jobs.handler("second")
        async def second(payload: None) -> None:
            done.set()

        with running(jobs, server.target, queues={queue: 1}):
            client.enqueue(queue, "first")
            assert done.wait(20)
    assert len({ids(span)[0] for span in (*spans("send"), *spans("process"))}) == 1
    assert len(spans("send")) == len(spans("process")) == 2


def test_a_cpu_bound_handler_has_its_span_too(server: RelayServer, queue: str, spans: Spans) -> None:
    from tests.support.worker_jobs import jobs

    with Client(server.target) as client, running(jobs, server.target, queues={queue: 1}):
        client.enqueue(queue, "traced-cpu")
        until(lambda: spans("process"), 30)
    (send,), (process,) = spans("send"), spans("process")
    assert parent(process) == ids(send)
    # The handler rejects its job with what it saw as the current span.
    assert facts(process)["error.type"] == f"Span{ids(process)[1]:016x}"


def test_many_jobs_share_the_span_of_their_call(server: RelayServer, queue: str, spans: Spans) -> None:
    jobs = Jobs()

    @jobs.handler("one")
    async def one(payload: int) -> None: ...

    with Client(server.target) as client, running(jobs, server.target, queues={queue: 1}):
        results = client.enqueue_batch(queue, [*(("one", i) for i in range(5)), ("", 5)])
        until(lambda: len(spans("process")) == 5)
    assert isinstance(results[-1], RelayError)
    (send,) = spans("send")
    assert facts(send)["messaging.batch.message_count"] == 6
    assert facts(send)["error.type"] == "INVALID_FIELD"
    assert {parent(span) for span in spans("process")} == {ids(send)}


async def test_the_asyncio_client_traces_too(relay: Relay, spans: Spans) -> None:
    queue = new_queue()
    worker = await relay.claimer(queue)
    async with AsyncClient(relay.address) as client:
        await client.enqueue(queue, "one")
        await client.enqueue_batch(queue, [("many", None)])
        with pytest.raises(RelayError):
            await client.enqueue(queue, "")
    held = await worker.take(2)
    sent = spans("send")
    carried = [one.job.job.headers["traceparent"].split("-")[1:3] for one in held]
    assert carried == [[f"{ids(span)[0]:032x}", f"{ids(span)[1]:016x}"] for span in sent[:2]]
    assert facts(sent[2])["error.type"] == "INVALID_FIELD"


async def test_a_trace_that_the_producer_set_stands(relay: Relay, spans: Spans) -> None:
    queue = new_queue()
    full = {f"h{i}": "" for i in range(32)}
    worker = await relay.claimer(queue)
    async with AsyncClient(relay.address) as client:
        await client.enqueue(queue, "own", headers={"traceparent": PARENT})
        await client.enqueue(queue, "full", headers=full)
    held = await worker.take(2)
    assert [dict(one.job.job.headers) for one in held] == [{"traceparent": PARENT}, full]


async def test_a_call_without_an_sdk_carries_its_trace_context(another: Start) -> None:
    relay = await another(http="127.0.0.1:0")
    queue = new_queue()
    worker = await relay.claimer(queue)
    port, at = relay.http_port, f"/api/v1/queues/{queue}/jobs"
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    await request(port, "POST", at, json={"job": {"type": "http"}}, headers=headers)
    await request(port, "POST", f"{at}:batch", json={"jobs": [{"type": "batch"}]}, headers=headers)
    own = {"type": "own", "headers": {"traceparent": PARENT.replace("ab", "ef")}}
    await request(port, "POST", at, json={"job": own}, headers=headers)
    await request(port, "POST", at, json={"job": {"type": "bad"}}, headers={"traceparent": "00-0-0-01"})
    metadata = (("traceparent", PARENT),)
    await relay.queue.Enqueue(pb.EnqueueRequest(queue=queue, job=spec(type="grpc")), metadata=metadata)
    held = {one.job.job.type: dict(one.job.job.headers) for one in await worker.take(5)}
    assert held == {
        "http": headers,
        "batch": headers,
        "own": own["headers"],
        "bad": {},
        "grpc": {"traceparent": PARENT},
    }


def test_without_opentelemetry_nothing_is_different() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from relay.v1.job_pb2 import JobSpec
from relay_client import tracing as client_tracing
from relay_worker import cpu_pool, execution, tracing
job = JobSpec(id="1")
with client_tracing.sending("q", job), client_tracing.sending_batch("q") as batch:
    batch.done([])
with tracing.continued(client_tracing.current_headers()):
    pass
assert client_tracing.tracer is None and tracing.begin(None) is None and not job.headers and not batch.headers
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_a_worker_process_that_is_set_up_as_documented(
    server: RelayServer, queue: str, tmp_path: Path
) -> None:
    (setup,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    handlers = "from relay_worker import Jobs\njobs = Jobs()\n@jobs.handler('one')\ndef one() -> None: ...\n"
    (tmp_path / "traced_app.py").write_text(handlers + setup)
    program = str(Path(sys.executable).with_name("relay-worker"))
    with (
        Client(server.target) as client,
        grpc.insecure_channel(server.target) as channel,
        subprocess.Popen(
            [program, "traced_app:jobs", "--server", server.target, "--queue", queue],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            stdout=subprocess.PIPE,
            text=True,
        ) as worker,
    ):
        try:
            client.enqueue(queue, "one", headers={"traceparent": PARENT})
            admin = AdminServiceStub(channel)
            until(lambda: admin.Stats(StatsRequest(queue=queue)).queues[0].counters.acked, 30)
            worker.terminate()
            said, _ = worker.communicate(timeout=30)
        finally:
            worker.kill()
    assert f'"name": "process {queue}"' in said
    assert f'"trace_id": "0x{"ab" * 16}"' in said
    assert f'"parent_id": "0x{"cd" * 8}"' in said
