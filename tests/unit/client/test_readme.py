"""The examples of the SDK's README run as they are written."""

import re
from pathlib import Path

import pytest

from relay_client._batches import BULK_CALLS_MAX
from tests.unit.client.scripts import QueueScript

README = Path(__file__).parents[3] / "clients" / "python" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
PRINTS = [r"[0-9a-f-]{36}\n", r"100 jobs\n", r"2000 accepted, 0 refused\n", r""]


def test_every_example_is_known_here() -> None:
    assert len(EXAMPLES) == len(PRINTS)
    assert BULK_CALLS_MAX > 1  # "a few in flight at once"


@pytest.mark.parametrize(("example", "prints"), list(zip(EXAMPLES, PRINTS, strict=False)))
def test_an_example_runs(
    example: str, prints: str, queue: QueueScript, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(example.replace("localhost:50051", server), README.name, "exec"), {})
    assert re.fullmatch(prints, capsys.readouterr().out)
    assert queue.requests()
