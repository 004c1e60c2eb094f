"""Runs real Relay servers for tests, in the test's process or as programs, and a worker that a test drives.

async with relay_server(redis_url) as relay:                 a server in this event loop, on a port of its own
    await relay.queue.Enqueue(...)                           the generated stubs
    claimer = await relay.claimer("emails", max_in_flight=2)
    held = await claimer.take(1)
    await claimer.ack(*held)

This package is the facade; tests import from here.
"""

from tests.support.ids import new_queue
from tests.support.relay.claimer import Claimer
from tests.support.relay.program import ServerProgram, server_program
from tests.support.relay.refusals import Refusal, read_refusal, refusal
from tests.support.relay.servers import Relay, close_claimers, connect, connected, relay_server
from tests.support.relay.values import KEEP_ALIVE_S, Held, lease_groups, new_id, seconds, spec
from tests.support.waiting import WITHIN_S, eventually

__all__ = [
    "KEEP_ALIVE_S",
    "WITHIN_S",
    "Claimer",
    "Held",
    "Refusal",
    "Relay",
    "ServerProgram",
    "close_claimers",
    "connect",
    "connected",
    "eventually",
    "lease_groups",
    "new_id",
    "new_queue",
    "read_refusal",
    "refusal",
    "relay_server",
    "seconds",
    "server_program",
    "spec",
]
