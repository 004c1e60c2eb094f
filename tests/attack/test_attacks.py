"""Each attack in short. Times are judged by `make attack` alone: this suite runs on busy machines."""

import pytest

from tests.attack.__main__ import KINDS, kind, together


@pytest.mark.parametrize("name", KINDS)
async def test_attack(name: str) -> None:
    figures = await kind(name).measure(whole=False)
    assert [str(figure) for figure in figures if not figure.ok and not figure.timed] == []


async def test_together() -> None:
    figures = await together(5)
    assert [str(figure) for figure in figures if not figure.ok and not figure.timed] == []
