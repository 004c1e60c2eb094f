"""The short form of `python -m tests.web show busy`."""

from tests.web.busy import Size, busy


def test_the_page_beside_a_busy_server() -> None:
    # Other tests run beside this one: what it may take is bounded, not measured.
    assert busy(Size(queues=30, dead=500, rate=200, seconds=2, click_ms=10_000, task_ms=5000))
