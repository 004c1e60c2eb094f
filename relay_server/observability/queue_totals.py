"""The metrics of queues, from the store's own totals as the sampler last read them.

They describe the store, not this server: every server on one store exposes the same values, so take `max by (queue)`
over servers, never `sum`. A forgotten queue disappears; one that is created again counts from zero.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from relay_server.model import QueueSnapshot
from relay_server.observability.distributions import OTHER, QUEUES_A_PART, QueueLabels, heading

Shown: TypeAlias = Mapping[str, QueueSnapshot]  # by label

# counter of the engine -> (metric, help). The exposed name of each ends in `_total`: relay_jobs_enqueued_total.
COUNTERS = {
    "enqueued": ("relay_jobs_enqueued", "Jobs created."),
    "deduplicated": ("relay_jobs_deduplicated", "Enqueues that found their idempotency key taken."),
    "claimed": ("relay_jobs_claimed", "Leases given."),
    "acked": ("relay_jobs_acked", "Jobs finished."),
    "retried": ("relay_jobs_retried", "Failures that were retried."),
    "released": ("relay_jobs_released", "Jobs nacked with RELEASE or THROTTLED: their attempt was returned."),
    "expired": ("relay_jobs_expired", "Leases that ran out."),
    "dead": ("relay_jobs_dead", "Jobs buried."),
    "requeued": ("relay_jobs_requeued", "Dead letters sent back."),
    "purged": ("relay_jobs_purged", "Jobs deleted by purge."),
    "cancelled": ("relay_jobs_cancelled", "Jobs deleted by cancel."),
    "stale": (
        "relay_stale_settles",
        "Settles and extends refused because the lease was not the current one.",
    ),
    "promoted": ("relay_jobs_promoted", "Delayed jobs made ready."),
    "unreadable": (
        "relay_jobs_unreadable",
        "Jobs set aside because what is stored of them cannot be read: it is damaged, or of a newer version.",
    ),
    "clock_steps": ("relay_store_clock_steps", "Steps of the store's clock back by more than 5 s."),
    "handed_back": (
        "relay_jobs_handed_back",
        "Claimed jobs that no worker received, handed back by servers.",
    ),
    "spared": (
        "relay_jobs_spared",
        "Leases that ended while no server was there to extend them, so that no attempt was counted.",
    ),
}
_STATES = ("ready", "delayed", "inflight", "dead", "unreadable")
_ADDED_A_PART = 100


class QueueTotals:
    """Exposes the last sample; queues beyond the label limit are added up as "other"."""

    def __init__(self, labels: QueueLabels, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._labels = labels
        self._clock = clock
        self._sample: list[QueueSnapshot] = []
        self._taken: float | None = None

    def update(self, snapshots: Sequence[QueueSnapshot]) -> None:
        self._sample = list(snapshots)
        self._taken = self._clock()

    def parts(self) -> Iterator[str]:
        """Its text, some queues at a time."""
        shown: dict[str, QueueSnapshot] = {}
        others = _Others()
        for number, snapshot in enumerate(self._sample):
            label = self._labels.label(snapshot.queue)
            if label == OTHER:
                others.add(snapshot)
            else:
                shown[label] = snapshot
            if number % _ADDED_A_PART == 0:
                yield ""
        if (summed := others.sum) is not None:
            shown[OTHER] = summed
        yield from self._gauges(shown)
        for counter, (name, text) in COUNTERS.items():
            total = f"{name}_total"
            yield from _family(
                total,
                text,
                "counter",
                shown,
                lambda label, queue, counter=counter, total=total: (  # type: ignore[misc]
                    f'{total}{{queue="{label}"}} {queue.counters.get(counter, 0)}\n'
                ),
            )

    def _gauges(self, shown: Shown) -> Iterator[str]:
        name = "relay_queue_jobs"
        yield from _family(
            name,
            "Jobs in the queue by state.",
            "gauge",
            shown,
            lambda label, queue: "".join(
                f'{name}{{queue="{label}",state="{state}"}} {getattr(queue, state)}\n' for state in _STATES
            ),
        )
        age = "relay_queue_oldest_ready_age_seconds"
        yield from _family(
            age,
            "How long the job at the head has been ready; 0 when none is.",
            "gauge",
            shown,
            lambda label, queue: f'{age}{{queue="{label}"}} {queue.oldest_ready_ms / 1000}\n',
        )
        paused = "relay_queue_paused"
        yield from _family(
            paused,
            "1 when claims are stopped.",
            "gauge",
            {label: queue for label, queue in shown.items() if label != OTHER},
            lambda label, queue: f'{paused}{{queue="{label}"}} {int(queue.paused)}\n',
        )
        if self._taken is not None:
            taken = "relay_sample_age_seconds"
            yield heading(
                taken, "How old the values of the relay_queue_* and relay_jobs_* metrics are.", "gauge"
            )
            yield f"{taken} {self._clock() - self._taken}\n"


class _Others:
    """Adds up the queues without a label of their own."""

    def __init__(self) -> None:
        self._last: QueueSnapshot | None = None
        self._jobs: dict[str, Any] = dict.fromkeys(_STATES, 0)
        self._totals = dict.fromkeys(COUNTERS, 0)
        self._oldest_ms = 0

    def add(self, queue: QueueSnapshot) -> None:
        self._last = queue
        for state in _STATES:
            self._jobs[state] += getattr(queue, state)
        for counter, total in queue.counters.items():
            self._totals[counter] = self._totals.get(counter, 0) + total
        self._oldest_ms = max(self._oldest_ms, queue.oldest_ready_ms)

    @property
    def sum(self) -> QueueSnapshot | None:
        """As one queue; None when there are none."""
        if self._last is None:
            return None
        return replace(self._last, counters=self._totals, oldest_ready_ms=self._oldest_ms, **self._jobs)


def _family(
    name: str, text: str, kind: str, shown: Shown, lines: Callable[[str, QueueSnapshot], str]
) -> Iterator[str]:
    """A metric, some queues at a time; `lines` gives those of one label."""
    yield heading(name, text, kind)
    each = list(shown.items())
    for start in range(0, len(each), QUEUES_A_PART):
        yield "".join(lines(label, queue) for label, queue in each[start : start + QUEUES_A_PART])
