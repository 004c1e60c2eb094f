"""The metrics of queues, from the store's own totals as the sampler last read them.

They describe the store, not this server: every server on one store exposes the same values, so take `max by (queue)`
over servers, never `sum`. A forgotten queue disappears; one that is created again counts from zero.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay_server.model import QueueSnapshot
from relay_server.observability.distributions import OTHER, QueueLabels

# counter of the engine -> (metric, help)
COUNTERS = {
    "enqueued": ("relay_jobs_enqueued", "Jobs created."),
    "deduplicated": ("relay_jobs_deduplicated", "Enqueues that found their idempotency key taken."),
    "claimed": ("relay_jobs_claimed", "Leases given."),
    "acked": ("relay_jobs_acked", "Jobs finished."),
    "retried": ("relay_jobs_retried", "Failures that were retried."),
    "released": ("relay_jobs_released", "Jobs given back by workers without using an attempt."),
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
    "orphaned": (
        "relay_jobs_orphaned",
        "Ids found without a body and set aside; above 0 only on damaged data.",
    ),
    "clock_steps": ("relay_store_clock_steps", "Steps of the store's clock back by more than 5 s."),
    "unsent": ("relay_jobs_unsent", "Jobs handed back unsent by servers."),
    "spared": (
        "relay_jobs_spared",
        "Leases that ended while no server was there to extend them, so that no attempt was counted.",
    ),
}
_STATES = ("ready", "delayed", "inflight", "dead")


class QueueTotals(Collector):
    """Exposes the last sample; queues beyond the label limit are added up as "other"."""

    def __init__(self, labels: QueueLabels, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._labels = labels
        self._clock = clock
        self._sample: list[QueueSnapshot] = []
        self._taken: float | None = None

    def update(self, snapshots: Sequence[QueueSnapshot]) -> None:
        self._sample = list(snapshots)
        self._taken = self._clock()

    def collect(self) -> Iterator[Metric]:
        groups: dict[str, list[QueueSnapshot]] = {}
        for snapshot in self._sample:
            groups.setdefault(self._labels.label(snapshot.queue), []).append(snapshot)
        yield from self._gauges(groups)
        for counter, (name, text) in COUNTERS.items():
            family = CounterMetricFamily(name, text, labels=["queue"])
            for label, group in groups.items():
                family.add_metric([label], sum(one.counters.get(counter, 0) for one in group))
            yield family

    def _gauges(self, groups: dict[str, list[QueueSnapshot]]) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("relay_queue_jobs", "Jobs in the queue by state.", labels=["queue", "state"])
        age = GaugeMetricFamily(
            "relay_queue_oldest_ready_age_seconds",
            "How long the job at the head has been ready; 0 when none is.",
            labels=["queue"],
        )
        paused = GaugeMetricFamily("relay_queue_paused", "1 when claims are stopped.", labels=["queue"])
        for label, group in groups.items():
            for state in _STATES:
                jobs.add_metric([label, state], sum(getattr(one, state) for one in group))
            age.add_metric([label], max(one.oldest_ready_ms for one in group) / 1000)
            if label != OTHER:
                paused.add_metric([label], float(group[0].paused))
        yield from (jobs, age, paused)
        if self._taken is not None:
            yield GaugeMetricFamily(
                "relay_sample_age_seconds",
                "How old the values of the relay_queue_* and relay_jobs_* metrics are.",
                value=self._clock() - self._taken,
            )
