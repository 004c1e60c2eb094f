"""Engine and model agree, whatever happens, on both kinds of Redis.

The seed of a run is printed, and what fails is shown as the program that fails. `RELAY_STATEFUL_EXAMPLES=20000` looks
longer.
"""

import random

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Machine, narrowed
from tests.stateful.profiles import EXAMPLES, WIDE
from tests.stateful.world import World

# A failure is made small for minutes before it is shown, and a soak takes what it takes.
pytestmark = pytest.mark.timeout(0 if EXAMPLES else 600)


def run(machine: type[Machine], budget: settings) -> None:
    number = random.getrandbits(64)
    print(f"seed {number}")
    seed(number)(machine)
    run_state_machine_as_test(machine, settings=budget)


def test_the_engine_does_what_the_model_says(world: World) -> None:
    run(narrowed(without={"restart_redis"}, world=world), WIDE)


def test_what_was_answered_survives_a_killed_redis(world: World) -> None:
    """I3 and I17 across a kill -9 and the load of the append-only file; few examples, as each start takes a while."""
    run(narrowed(world=world), settings(WIDE, max_examples=max(8, EXAMPLES // 20)))
