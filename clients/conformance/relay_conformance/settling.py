"""What becomes of Ack, Nack and Extend: the outcome of each lease, and the rules that hold in every scenario."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scenario import Answer
from relay_conformance.wire import milliseconds
from relay_conformance.world import Delivery, World

_JOBS_MAX = 500
# A call that was under way when the client learnt of it may still arrive.
_ON_ITS_WAY_S = 0.5
_KINDS = {
    pb.NACK_KIND_RETRY: "RETRY",
    pb.NACK_KIND_DEAD: "DEAD",
    pb.NACK_KIND_RELEASE: "RELEASE",
    pb.NACK_KIND_THROTTLED: "THROTTLED",
}


@dataclass(slots=True, eq=False)
class Lease:
    """One lease that a call names. `fields`: the kind and the error of a Nack, as the record has them."""

    job_id: str
    queue: str
    token: bytes
    fields: Mapping[str, Any] = field(default_factory=dict)
    delivery: Delivery | None = None


def of_groups(groups: Iterable[pb.LeaseGroup]) -> list[Lease]:
    """The leases of an Ack or Extend, in the order of the answer."""
    return [Lease(one, group.queue, group.lease_token) for group in groups for one in group.job_ids]


def of_nack(job: pb.NackedJob) -> Lease:
    """One lease of a Nack."""
    fields = {
        "kind": _KINDS.get(job.kind, f"{job.kind}"),
        "after_ms": milliseconds(job.after) if job.HasField("after") else None,
        "error_type": job.error.type,
        "error_message": job.error.message,
    }
    return Lease(job.job_id, job.queue, job.lease_token, fields)


def judge(world: World, rpc: str, leases: list[Lease], script: Answer | None) -> list[str]:
    """The outcome of each lease, as scripted or as a server would say. Notes rules that the call breaks."""
    if len(leases) > _JOBS_MAX:
        world.violated(f"{rpc} of {len(leases)} jobs; at most {_JOBS_MAX} are allowed")
    outcomes = []
    for lease in leases:
        lease.delivery = world.delivery(lease.job_id, lease.token)
        name = world.name_of(lease.job_id)
        if lease.delivery is None:
            world.violated(f"{rpc} of {name} with a token it was never given")
            outcomes.append("LEASE_LOST")
            continue
        if lease.queue != lease.delivery.queue:
            world.violated(
                f"{rpc} of {name} names queue {lease.queue!r}; it came from {lease.delivery.queue!r}"
            )
        _check_late(world, rpc, lease.delivery)
        outcomes.append(_outcome(world, rpc, lease.delivery, script))
    return outcomes


def _check_late(world: World, rpc: str, delivery: Delivery) -> None:
    late = time.monotonic() - _ON_ITS_WAY_S
    if rpc == "Extend":
        if delivery.settled and delivery.settled_at < late:
            world.violated(f"Extend of {delivery.job}, whose settle was answered before")
    elif delivery.settled:
        world.violated(f"{rpc} of {delivery.job}, whose settle was answered before")
    if delivery.lost_at is not None and delivery.lost_at < late:
        world.violated(f"{rpc} of {delivery.job} under a lease that the client was told is lost")


def _outcome(world: World, rpc: str, delivery: Delivery, script: Answer | None) -> str:
    scripted = script.outcome if script else None
    if isinstance(scripted, dict):
        scripted = scripted.get(delivery.job)
    if scripted is not None:
        return scripted
    if not world.is_current(delivery):
        return "LEASE_LOST"
    if delivery.job in world.settled:
        # A Nack repeated with the token that settled gets its first answer again.
        return "OK" if rpc == "Nack" else "GONE"
    return "OK"


def settle(world: World, leases: list[Lease], outcomes: list[str], *, answered: bool) -> None:
    """The jobs are settled. Not `answered`: the client does not know, and must repeat the call."""
    for lease, outcome in zip(leases, outcomes, strict=True):
        if lease.delivery is None:
            continue
        if outcome == "OK":
            world.settled.add(lease.delivery.job)
        if answered:
            lease.delivery.settled, lease.delivery.settled_at = outcome, time.monotonic()


def note_lost(leases: list[Lease], outcomes: list[str], *, answered: bool) -> None:
    """The answer to an Extend names the leases that are lost: from now on the client knows."""
    for lease, outcome in zip(leases, outcomes, strict=True):
        if answered and lease.delivery is not None and outcome in {"LEASE_LOST", "GONE"}:
            lease.delivery.lost_at = lease.delivery.lost_at or time.monotonic()
