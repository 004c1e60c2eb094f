"""Batcher: natural group commit, with a flush that the test lets go."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from relay_server.engine.batching import Batcher


class Flush:
    """Notes each batch it is given, and waits until the test lets it end."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_at_once = 0
        self._gates: list[asyncio.Future[Exception | None]] = []
        self._started = asyncio.Event()

    async def __call__(self, requests: list[int]) -> Sequence[str]:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.batches.append(requests)
        gate: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        self._started.set()
        try:
            error = await gate
        finally:
            self.running -= 1
        if error is not None:
            raise error
        return [f"result {request}" for request in requests]

    async def started(self, batches: int) -> None:
        async with asyncio.timeout(5):
            while len(self.batches) < batches:
                self._started.clear()
                await self._started.wait()

    def end(self, error: Exception | None = None) -> None:
        self._gates[-1].set_result(error)


def submit(
    batcher: Batcher[int, str],
    numbers: Sequence[int],
    *,
    jobs: int = 1,
    size: Callable[[int], int] = lambda n: 0,
) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batcher.submit(n, jobs=jobs, size_bytes=size(n))) for n in numbers]


async def test_requests_of_one_turn_share_a_flush_and_each_gets_its_own_result() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    tasks = submit(batcher, range(5))
    await flush.started(1)
    flush.end()
    assert await asyncio.gather(*tasks) == [f"result {n}" for n in range(5)]
    assert flush.batches == [list(range(5))]


async def test_one_flush_is_in_flight_and_what_gathers_meanwhile_goes_with_the_next() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    first = submit(batcher, [1])
    await flush.started(1)
    later = submit(batcher, [2, 3])
    await asyncio.sleep(0)
    later += submit(batcher, [4])
    await asyncio.sleep(0)
    assert flush.batches == [[1]]
    flush.end()
    await flush.started(2)
    flush.end()
    await asyncio.gather(*first, *later)
    assert flush.batches == [[1], [2, 3, 4]]
    assert flush.most_at_once == 1


@pytest.mark.parametrize(("jobs", "size", "expected"), [
    (1, 0, [[0, 1, 2, 3], [4, 5, 6, 7], [8]]),  # four jobs a flush
    (3, 0, [[n] for n in range(9)]),
    (9, 0, [[n] for n in range(9)]),  # larger than a flush may be, and still taken, alone
    (1, 40, [[0, 1], [2, 3], [4, 5], [6, 7], [8]]),  # 100 bytes a flush
    (1, 1000, [[n] for n in range(9)]),
])  # fmt: skip
async def test_a_flush_has_its_caps_and_always_takes_one(
    jobs: int, size: int, expected: list[list[int]]
) -> None:
    batches: list[list[int]] = []

    async def flush(requests: list[int]) -> list[str]:
        batches.append(requests)
        return [""] * len(requests)

    batcher = Batcher(flush, jobs_max=4, bytes_max=100)
    await asyncio.gather(*submit(batcher, range(9), jobs=jobs, size=lambda _: size))
    assert batches == expected


async def test_an_error_reaches_each_caller_of_its_flush_and_no_other() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    failing = submit(batcher, [1, 2])
    await flush.started(1)
    fine = submit(batcher, [3])
    await asyncio.sleep(0)
    error = ConnectionError("lost")
    flush.end(error)
    assert await asyncio.gather(*failing, return_exceptions=True) == [error, error]
    await flush.started(2)
    flush.end()
    assert await asyncio.gather(*fine) == ["result 3"]


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    leaving, staying = submit(batcher, [1, 2])
    await flush.started(1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    flush.end()
    assert await staying == "result 2"
    assert flush.batches == [[1, 2]]


async def test_a_request_that_was_asked_is_sent_even_if_its_caller_has_gone() -> None:
    """Its outcome must not depend on who still waits: the script may be under way already."""
    flush = Flush()
    batcher = Batcher(flush)
    first = submit(batcher, [1])
    await flush.started(1)
    (leaving,) = submit(batcher, [2])
    await asyncio.sleep(0)
    leaving.cancel()
    flush.end()
    await flush.started(2)
    flush.end()
    await asyncio.gather(*first)
    assert flush.batches == [[1], [2]]


async def test_it_is_idle_when_nothing_waits_and_nothing_runs() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    assert batcher.idle
    tasks = submit(batcher, [1])
    await flush.started(1)
    assert not batcher.idle
    flush.end()
    await asyncio.gather(*tasks)
    assert batcher.idle


async def test_a_flush_that_answers_too_little_fails_all_and_strands_nobody() -> None:
    async def flush(requests: list[int]) -> list[str]:
        return []

    batcher = Batcher(flush)
    async with asyncio.timeout(5):
        (result,) = await asyncio.gather(*submit(batcher, [1]), return_exceptions=True)
    assert isinstance(result, Exception)
    assert batcher.idle
