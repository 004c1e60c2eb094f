"""set_aside: inflight -> set aside, for jobs whose body a server cannot read."""

import pytest

from relay_server.model import Lease
from relay_server.words import CancelWord, LeaseWord
from tests.support.engine import Lab, new_token


@pytest.mark.damages
async def test_only_who_holds_the_lease_can_set_a_job_aside(lab: Lab) -> None:
    bad, good = await lab.in_flight(), await lab.in_flight()
    assert await lab.transitions.set_aside(lab.queue, [Lease(bad.id, new_token())]) == 0
    assert await lab.transitions.set_aside(lab.queue, [bad, bad]) == 1
    assert await lab.ack(bad, good) == [LeaseWord.LEASE_LOST, LeaseWord.OK]
    (found,) = await lab.findings(lab.queue)
    assert (found.invariant, found.job_id) == ("UNREADABLE", bad.id)
    assert found.detail.startswith("set aside from inflight at ")
    assert found.detail.endswith(": a body that is no job")
    assert (await lab.ops.stats(lab.queue)).unreadable == 1
    assert await lab.ops.cancel(lab.queue, [bad.id]) == [CancelWord.REMOVED]
    assert await lab.findings(lab.queue) == []
