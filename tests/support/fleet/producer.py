"""A producer that records every call and its answer for the history."""

import random
import time
from collections.abc import Callable
from typing import Any

from relay_client import AsyncClient, JobSpec, RelayError, RetryPolicy
from relay_client.errors import StoreOutOfMemory
from relay_client.ids import new_id
from tests.support.history import Recorder

QUEUE = "chaos"


class Producer:
    """Enqueues jobs through the SDK and records each answer. `make` gives each job's type, payload and options."""

    def __init__(
        self,
        target: str,
        recorder: Recorder,
        make: Callable[[int], dict[str, Any]],
        *,
        queue: str = QUEUE,
        timeout_s: float = 20.0,
    ) -> None:
        self.client = AsyncClient(target, timeout=f"{timeout_s:g}s")
        self.recorder = recorder
        self.make = make
        self.queue = queue
        self.sent = 0
        self.acknowledged = 0
        self.failures: list[RelayError] = []
        self.slowest_s = 0.0

    async def send(self, jobs: int) -> None:
        """One call for so many jobs. Whatever the SDK raises is recorded, not raised."""
        specs = [JobSpec(job_id=new_id(), **self.make(self.sent + i)) for i in range(jobs)]
        self.sent += jobs
        n = self.recorder.invoke(
            "enqueue", [(spec.job_id or "", spec.idempotency_key or "") for spec in specs]
        )
        began = time.monotonic()
        results = await self.client.enqueue_batch(self.queue, specs)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        refused = [result for result in results if isinstance(result, RelayError)]
        self.failures += refused
        self.acknowledged += len(results) - len(refused)
        if not refused:
            self.recorder.returned(n, "ok", [r.id for r in results if not isinstance(r, RelayError)])
        elif len(refused) == len(specs) and all(isinstance(r, StoreOutOfMemory) for r in refused):
            self.recorder.returned(n, "fail")
        else:
            self.recorder.returned(n, "unknown")  # of some of them we know more; the history need not

    async def close(self) -> None:
        await self.client.close()
        self.recorder.close()


def small_jobs(n: int) -> dict[str, Any]:
    """Mostly quick work; every seventh job fails once, every fiftieth is delayed, some have an idempotency key."""
    payload = {"ms": random.choice((0, 1, 2, 5)), "fail": 1 if n % 7 == 3 else 0}
    return {
        "type": "work",
        "payload": payload,
        "retry": RetryPolicy(max_attempts=50, initial_backoff="50ms", max_backoff="500ms"),
        "delay": "300ms" if n % 50 == 11 else None,
        "idempotency_key": f"key-{n}" if n % 5 == 2 else None,
        "priority": n % 3 - 1,
    }
