"""The soak in short, on a server program of its own."""

from tests.soak.measures import bench, cycles, drained, idle, slow_consumer


async def test_nothing_grows() -> None:
    async with bench() as place:
        figures = [
            *await slow_consumer(place, window=100, jobs=500),
            *await drained(place, 10),
            *await idle(place, 200),
            *await cycles(place, 2000),
        ]
    assert [str(figure) for figure in figures if not figure.ok] == []
