"""Hands out jobs as the window allows: the part of a server that trusts what a client reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay_conformance.scenario import JobToDo

if TYPE_CHECKING:
    from relay_conformance.double import BrokerDouble


@dataclass(slots=True)
class Feeding:
    """What is left to hand out."""

    names: list[str] = field(default_factory=list)
    frame_jobs: int = 2

    def go_on(self, broker: BrokerDouble) -> None:
        """Sends frames until the session's window is full, by its last report, or nothing is left."""
        while self.names and (stream := broker.stream()) is not None:
            session = stream.session
            room = min(session.max_in_flight - session.unsettled, self.frame_jobs)
            if room <= 0:
                return
            names, self.names = self.names[:room], self.names[room:]
            broker.send(broker.world.deliver(names, "q", lease_ms=broker.settings.lease_ms))


def feed(broker: BrokerDouble, *, name: str, job_type: str, jobs: int, frame_jobs: int) -> None:
    """Begins to feed a broker double's streams."""
    job = JobToDo(name=name, type=job_type, copies=jobs)
    broker.feeding = Feeding(broker.world.new_jobs([job]), frame_jobs)
    broker.feeding.go_on(broker)
