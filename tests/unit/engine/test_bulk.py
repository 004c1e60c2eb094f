"""The pace of bulk work: how often it tells, and when it stops."""

import asyncio

import pytest

from relay_server import errors
from relay_server.engine.bulk import Pace


def test_at_most_ten_messages_a_second() -> None:
    now = 100.0
    pace = Pace(asyncio.Event(), clock=lambda: now)
    steps = 0
    for _ in range(1000):
        steps += pace.due()
        now += 0.01
    assert 90 <= steps <= 101


def test_draining_stops_the_work() -> None:
    draining = asyncio.Event()
    pace = Pace(draining)
    assert pace.due()
    draining.set()
    with pytest.raises(errors.Draining):
        pace.due()
