"""Every SDK passes every scenario of the conformance kit."""

import asyncio
from pathlib import Path

import pytest

from relay_conformance.play import play_all
from relay_conformance.report import summary
from relay_conformance.scenario import load
from tests.conformance.sdks import SDKS, Sdk

# Waiting is most of what a scenario does.
AT_ONCE = 8


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
def test_passes_every_scenario(sdk: Sdk, tmp_path: Path) -> None:
    command = sdk.build(tmp_path)
    results = asyncio.run(play_all(load(), command, at_once=AT_ONCE, on_result=lambda result: None))
    assert all(one.outcome == "pass" for one in results), summary(results)
