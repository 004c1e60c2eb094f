"""What the heartbeat of a worker names, with no server: only leases that last."""

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import grpc

from relay.v1 import queue_service_pb2 as pb
from relay_client.errors import RelayError
from relay_client.limits import IN_FLIGHT_MAX
from relay_worker.leases import LeaseKeeper
from relay_worker.link import ServerLink
from relay_worker.model import HeldJob, received
from relay_worker.window import Window


class Line:
    """A link whose server never answers; keeps the requests."""

    metadata = None

    def __init__(self) -> None:
        self.sent: list[pb.ExtendRequest] = []
        self.calls: list[Mock] = []

    def failed(self, target: str, error: RelayError) -> None:
        """There is no other target."""

    def current(self) -> tuple[str, Any]:
        return "nowhere", SimpleNamespace(Extend=SimpleNamespace(future=self._future))

    def _future(self, request: pb.ExtendRequest, **options: Any) -> Any:
        self.sent.append(request)
        self.calls.append(Mock())
        return self.calls[-1]

    def refuse(self) -> None:
        """Ends the last call with UNAVAILABLE."""
        call = self.calls[-1]
        call.cancelled.return_value = False
        call.exception.return_value = RelayError("not now", code=grpc.StatusCode.UNAVAILABLE)
        call.add_done_callback.call_args.args[0](call)


def test_a_lease_that_is_over_is_not_extended_with_the_rest_of_its_group() -> None:
    line, lost = Line(), list[HeldJob]()
    keeper = LeaseKeeper(
        cast(ServerLink, line), Window(4), lease_s=30.0, on_stop=lambda job, outcome: lost.append(job)
    )
    frame = pb.Jobs(queue="q", lease_token=b"t")
    frame.lease_remaining.FromSeconds(30)
    for name in ("short", "long"):
        frame.jobs.add().job.id = name
    group = received(frame, 1_000.0, 10.0)
    short, _ = keeper.add(group)
    # As after an Extend that the short one's max_runtime capped.
    short.deadline = group.deadline = group.extend_at = 1_001.0
    keeper.run_once(1_001.0)
    assert lost == [short]
    assert [list(lease.job_ids) for request in line.sent for lease in request.leases] == [["long"]]


def test_a_reconnecting_stream_names_as_many_jobs_as_the_server_takes() -> None:
    keeper = LeaseKeeper(cast(ServerLink, Line()), Window(4), lease_s=30.0, on_stop=Mock())
    for n in range(IN_FLIGHT_MAX // 64 + 2):
        frame = pb.Jobs(queue="q", lease_token=b"%d" % n)
        frame.lease_remaining.FromSeconds(30)
        for i in range(64):
            frame.jobs.add().job.id = f"{n}-{i}"
        keeper.add(received(frame, 1_000.0, 10.0))
    assert sum(len(lease.job_ids) for lease in keeper.held()) == IN_FLIGHT_MAX


def test_a_window_that_no_server_took_is_sent_again() -> None:
    line, window = Line(), Window(4)
    window.opened("session", 1)
    keeper = LeaseKeeper(cast(ServerLink, line), window, lease_s=30.0, on_stop=Mock())
    keeper.restate_window()
    keeper.run_once(1_000.0)
    line.refuse()
    keeper.run_once(1_000.5)
    assert [request.window.session_id for request in line.sent] == ["session", "session"]
    keeper.run_once(1_001.0)
    assert len(line.sent) == 2, "nothing says that the second one failed"
