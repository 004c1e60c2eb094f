"""The operator's client by itself: more than one target, silent servers, streams that fail or are closed early."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay_client.admin import Admin
from relay_client.errors import DeadlineExceeded, RelayError, Unavailable
from relay_conformance.scripted import Refuse
from tests.unit.cli.scripts import Script


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_reach_tries_every_target_once(server: str, nowhere: str) -> None:
    with Admin(f"{nowhere},{server}") as admin:
        admin.reach()
        assert admin.server_info().version == "0.1.0"
    with Admin(nowhere) as admin, pytest.raises(Unavailable):
        admin.reach()


def test_a_server_that_refuses_is_reached(script: Script, server: str) -> None:
    def refuse(_: Any) -> Any:
        raise Refuse(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    script.answers["GetServerInfo"] = refuse
    with Admin(server) as admin:
        admin.reach()


def test_pages_of_queues_are_read_to_the_last(script: Script, server: str) -> None:
    pages = {
        "": admin_pb.ListQueuesResponse(queues=[admin_pb.Queue(name="a")], next_page_token="more"),
        "more": admin_pb.ListQueuesResponse(queues=[admin_pb.Queue(name="b")]),
    }
    script.answers["ListQueues"] = lambda request: pages[request.page_token]
    with Admin(server) as admin:
        assert [queue.name for queue in admin.queues()] == ["a", "b"]


def test_workers_are_read_page_by_page(script: Script, server: str) -> None:
    pages = {
        "": admin_pb.ListWorkersResponse(workers=[admin_pb.Worker(worker_id="a")], next_page_token="more"),
        "more": admin_pb.ListWorkersResponse(next_page_token="last"),  # none that this caller may see
        "last": admin_pb.ListWorkersResponse(workers=[admin_pb.Worker(worker_id="b")]),
    }
    script.answers["ListWorkers"] = lambda request: pages[request.page_token]
    with Admin(server) as admin:
        assert [worker.worker_id for worker in admin.workers()] == ["a", "b"]


def test_a_stream_that_fails_midway_has_a_typed_error(script: Script, server: str) -> None:
    def audit(_: Any) -> Iterator[admin_pb.AuditResponse]:
        yield admin_pb.AuditResponse(queue="q", checked=1)
        raise Refuse(grpc.StatusCode.INTERNAL, "broken")

    script.answers["Audit"] = audit
    with Admin(server) as admin:
        steps = admin.audit()
        assert next(steps).checked == 1
        with pytest.raises(RelayError, match="broken"):
            next(steps)


def test_a_silent_stream_ends_with_the_timeout_and_a_slow_one_does_not(script: Script, server: str) -> None:
    release = threading.Event()

    def silent(_: Any) -> Iterator[admin_pb.AuditResponse]:
        release.wait(10)
        yield from ()

    script.answers["Audit"] = silent
    with Admin(server, timeout=0.2) as admin, pytest.raises(DeadlineExceeded, match=r"no answer in 0\.2 s"):
        next(admin.audit())
    release.set()

    paused = threading.Event()

    def slow(_: Any) -> Iterator[admin_pb.AuditResponse]:
        yield admin_pb.AuditResponse(checked=1)
        paused.wait(0.5)  # longer than the timeout, which is for the first answer only
        yield admin_pb.AuditResponse(checked=2, done=True)

    script.answers["Audit"] = slow
    with Admin(server, timeout=0.2) as admin:
        assert [step.checked for step in admin.audit()] == [1, 2]


def test_closing_the_iterator_ends_the_stream_on_the_server(script: Script, server: str) -> None:
    ended = threading.Event()

    def endless(_: Any) -> Iterator[admin_pb.WatchStatsResponse]:
        try:
            while True:
                yield admin_pb.WatchStatsResponse()
        finally:
            ended.set()

    script.answers["WatchStats"] = endless
    with Admin(server) as admin:
        views = admin.watch_stats()
        next(views)
        views.close()  # type: ignore[attr-defined]  # it is a generator
        assert ended.wait(10)
