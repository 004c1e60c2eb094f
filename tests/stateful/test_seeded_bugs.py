"""The machine that finds nothing in the engine must find every bug that is sown into it."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import narrowed
from tests.stateful.profiles import BOUNDED
from tests.stateful.seeded import COMMON, SEEDS, Seed, sown
from tests.stateful.world import Divergence, World

EXAMPLES_MAX = 800


@pytest.mark.parametrize("redis_kind", ["valkey9"])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_sown_bug_is_found(seed: Seed, world: World) -> None:
    rules = set(f"{COMMON} {seed.rules}".split())
    machine = narrowed(only=rules, world=world, scripts=sown(seed), start=seed.start, conf=seed.conf)
    with pytest.raises(Divergence):
        run_state_machine_as_test(
            machine,
            settings=settings(
                BOUNDED, max_examples=EXAMPLES_MAX, stateful_step_count=30, phases=[Phase.generate]
            ),
        )
