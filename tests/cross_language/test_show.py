"""The show in short: workers of three languages, each killed and replaced, lose no job and do none twice."""

import pytest

from tests.cross_language.show import mixed


@pytest.mark.timeout(400)
async def test_killed_workers_of_three_languages(languages: dict[str, list[str]]) -> None:
    assert await mixed(600, languages), "see the lines marked NO above"
