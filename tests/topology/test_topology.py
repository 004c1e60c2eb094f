"""Failovers and slot moves in short; `python -m tests.topology show all` has them at full size."""

import pytest

from tests.topology.show import Load, failover, slots

SHORT = Load(rate=150.0, seconds=2.0, workers=2, servers=2)


@pytest.mark.parametrize("shape", ["cluster", "sentinel"])
async def test_a_primary_dies_and_nothing_acknowledged_is_lost(shape: str) -> None:
    assert await failover(shape, wait=True, load=SHORT)


async def test_a_primary_that_only_relay_reaches_acknowledges_nothing() -> None:
    assert await failover("sentinel", wait=True, fault="is cut off", load=SHORT)


@pytest.mark.parametrize("kind", ["redis7", "valkey9"])
async def test_slots_move_and_nothing_is_lost(kind: str) -> None:
    assert await slots(kind, moves=8, load=SHORT)
