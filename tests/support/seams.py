"""The private parts of the product that tests replace to inject a fault or to save time: all are named here.

What a test wants to know it asks of public properties, metrics or calls.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from relay_server.app import Server
from relay_server.engine.names import NameLimits, Names
from relay_server.engine.rotation import Rotation
from relay_server.engine.snapshots import Snapshots
from relay_server.loops.sweep import Sweep
from relay_server.rpc.stats_feed import StatsFeed


def stop_being_ready(server: Server) -> None:
    """As the beginning of the end sets it; everything else goes on."""
    server._serving = False


def forward_reports_by(server: Server, forward: Callable[[str, bytes], Awaitable[None]]) -> None:
    """Reports for sessions of other servers go this way."""
    server.windows._tell_server = forward


def change_gateway_limits(server: Server, **changes: Any) -> None:
    """Other limits than the configuration makes."""
    assert server.http is not None
    gateway = server.http._gateway
    gateway._limits = replace(gateway._limits, **changes)


def refresh_every(feed: StatsFeed, seconds: float) -> None:
    """Watchers get views so often."""
    feed._interval_s = feed._fresh._for_s = seconds


def set_names_clock(names: Names, clock: Callable[[], float]) -> None:
    """The server's own clock, by which it notes names again."""
    names._clock = clock


def limit_names(names: Names, limits: NameLimits) -> None:
    """Quotas of a server that was configured anew."""
    names._limits = limits


def look_at_no_unused(rotation: Rotation) -> None:
    """From now on queues that nobody uses get no turn."""
    rotation._owed = -1e9


def rotation_of(snapshots: Snapshots) -> Rotation:
    """Which of the unused queues are read next."""
    return snapshots._rotation


def forget_looks(sweep: Sweep) -> None:
    """The next round looks at every queue that is in use."""
    sweep._rounds.clear()
