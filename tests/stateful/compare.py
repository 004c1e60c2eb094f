"""Whether all that Redis holds is what the model says, to the last time to live."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from relay_server.engine import keys
from tests.stateful.contents import Job
from tests.stateful.model import Model
from tests.stateful.world import QUEUE, TTL_SLACK_MS, Divergence, Picture


def compare(model: Model, picture: Picture, padded: Mapping[bytes, int]) -> None:
    """Divergence names the first difference. `padded`: keys whose time to live was set longer, and their ends."""
    now = model.now
    unreadable = {job_id for job_id, job in picture.jobs.items() if job.record is None}
    _check_equal("unreadable", model.unreadable, unreadable, now)
    _check_equal("set aside", model.aside, picture.aside, now)
    readable = {job_id: job for job_id, job in picture.jobs.items() if job_id not in unreadable}
    _check_equal("job", {i: job for i, job in model.jobs.items() if i not in unreadable}, readable, now)
    _check_equal("place", _places(model.jobs), _places(picture.jobs), now)
    held = {key: (holder.id, holder.content) for key, holder in model.keys.items()}
    _check_equal("idempotency key", held, picture.keys, now)
    _check_equal("request", set(model.seen), picture.seen, now)
    _check_equal("claim", model.claims, picture.claims, now)
    _check_equal("conf", model.conf, picture.conf, now)
    _check_equal("count", +Counter(model.counts), picture.counts, now)
    _check_times_to_live(model, picture, padded)


def _places(jobs: Mapping[bytes, Job]) -> dict[bytes, object]:
    return {job_id: (job.state, job.at, job.body, job.failures) for job_id, job in jobs.items()}


def _check_equal(what: str, model: Any, engine: Any, now: int) -> None:
    if model == engine:
        return
    if isinstance(model, set):
        raise Divergence(f"{what}: only in the model {model - engine}, only in Redis {engine - model}")
    for name in sorted(model.keys() | engine.keys()):
        if model.get(name) != engine.get(name):
            raise Divergence(
                f"{what} {name!r}:\n  Redis {engine.get(name)}\n  model {model.get(name)}\n  now {now}"
            )


def ends(model: Model) -> dict[bytes, int]:
    """When each key with a time to live ends, by its name in Redis."""
    ends_ms = {keys.idempotency_key(QUEUE, key): held.until for key, held in model.keys.items()}
    ends_ms |= {keys.seen_key(QUEUE, request): seen.until for request, seen in model.seen.items()}
    if model.claims:
        ends_ms[keys.queue_keys(QUEUE)["claims"]] = model.claims_until
    return ends_ms


def _check_times_to_live(model: Model, picture: Picture, padded: Mapping[bytes, int]) -> None:
    expected = ends(model)
    for key, left in picture.ttl.items():
        until = expected.get(key)
        if until is None:
            right = left == -1
        elif padded.get(key) == until:
            right = left > 0
        else:
            right = until - model.now - TTL_SLACK_MS < left <= until - model.now
        if not right:
            raise Divergence(f"I8, I13: {key!r} has {left} ms to live; now {model.now}, end {until}")
