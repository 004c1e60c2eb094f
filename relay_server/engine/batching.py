"""Natural group commit: whatever gathers while a flush is under way goes with the next one. No timers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")

JOBS_MAX = 500
BYTES_MAX = 1 << 20


class Batcher(Generic[Request, Result]):
    """Gathers requests of one kind for one queue and flushes them together, one flush at a time.

    The first request of a quiet moment is flushed on the next turn of the loop, so it waits for nobody; under
    load the batch grows by itself. A flush takes at most `jobs_max` jobs and `bytes_max` bytes, and always at least
    one request.
    """

    def __init__(
        self,
        flush: Callable[[list[Request]], Awaitable[Sequence[Result]]],
        *,
        jobs_max: int = JOBS_MAX,
        bytes_max: int = BYTES_MAX,
        observe: Callable[[int], None] = lambda jobs: None,
    ) -> None:
        self._flush = flush
        self._observe = observe
        self._jobs_max = jobs_max
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[Request, int, int, asyncio.Future[Result]]] = deque()
        self._pump: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._pump is None and not self._waiting

    async def submit(self, request: Request, *, jobs: int, size_bytes: int = 0) -> Result:
        """The result of this request, or the error of the flush that carried it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, jobs, size_bytes, future))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="batch")
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                requests, futures, jobs = self._take()
                self._observe(jobs)
                try:
                    results = await self._flush(requests)
                    if len(results) != len(futures):
                        raise RuntimeError(f"{len(results)} results for {len(futures)} requests")  # noqa: TRY301
                except Exception as error:  # noqa: BLE001 - each waiting caller gets it
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for future, result in zip(futures, results, strict=True):
                        if not future.done():
                            future.set_result(result)
        finally:
            self._pump = None

    def _take(self) -> tuple[list[Request], list[asyncio.Future[Result]], int]:
        requests: list[Request] = []
        futures: list[asyncio.Future[Result]] = []
        jobs = size = 0
        while self._waiting:
            request, n, size_bytes, future = self._waiting[0]
            if requests and (jobs + n > self._jobs_max or size + size_bytes > self._bytes_max):
                break
            self._waiting.popleft()
            jobs += n
            size += size_bytes
            requests.append(request)
            futures.append(future)
        return requests, futures, jobs


class Batchers:
    """The batcher of each operation on each queue, as long as requests wait in it. `observe` hears of each flush."""

    def __init__(self, observe: Callable[[str, int], None]) -> None:
        self._observe = observe
        self._batchers: dict[Hashable, Batcher[Any, Any]] = {}

    async def submit(
        self,
        op: str,
        queue: str,
        flush: Callable[[str, list[Request]], Awaitable[Sequence[Result]]],
        request: Request,
        jobs: int,
        size_bytes: int = 0,
        *,
        share_key: Hashable = None,
    ) -> Result:
        """The result of this request.

        Requests share a flush only if their `share_key` is equal (for Extend: the lease length).
        """
        key = (op, queue, share_key)
        batcher: Batcher[Request, Result] | None = self._batchers.get(key)
        if batcher is None:
            batcher = self._batchers[key] = Batcher(
                lambda requests: flush(queue, requests), observe=lambda jobs: self._observe(op, jobs)
            )
        try:
            return await batcher.submit(request, jobs=jobs, size_bytes=size_bytes)
        finally:
            # Queue names come and go; so do their batchers. Another caller may have replaced ours already.
            if batcher.idle and self._batchers.get(key) is batcher:
                del self._batchers[key]
