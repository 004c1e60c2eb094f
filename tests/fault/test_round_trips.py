"""What an enqueue costs on the way to a distant Redis, in round trips: a proxy passes replies on only when told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import pytest

from relay_server.engine import Engine, ScriptRunner, keys, make_engine
from relay_server.engine.names import RENEW_S, NameLimits
from relay_server.errors import QuotaExceeded
from relay_server.loops.renewer import Renewer
from tests.support.engine import a_job, new_queue
from tests.support.redis_server import client_as_relay, link_to
from tests.support.seams import limit_names, set_names_clock
from tests.support.stores import Store
from tests.support.waiting import eventually

T = TypeVar("T")
pytestmark = pytest.mark.one_server


class Distance:
    """In front of a Redis. Replies wait here until `pass_on`."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._open: list[asyncio.StreamWriter] = []
        self.holding = False
        self.port = 0

    async def accept(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        redis, send = await asyncio.open_unix_connection(self._socket)
        self._open += [send, answer]
        asking = asyncio.ensure_future(self._ask(client, send))
        try:
            while data := await redis.read(1 << 16):
                if self.holding:
                    self._held.append((answer, data))
                else:
                    answer.write(data)
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            answer.close()
            send.close()

    async def _ask(self, client: asyncio.StreamReader, send: asyncio.StreamWriter) -> None:
        while data := await client.read(1 << 16):
            send.write(data)
        send.close()

    @property
    def waiting(self) -> int:
        return len(self._held)

    def pass_on(self, at: int = 0) -> None:
        """All replies from that one on."""
        held, self._held = self._held[at:], self._held[:at]
        for answer, data in held:
            answer.write(data)

    async def trips(self, work: Awaitable[T]) -> int:
        """How many times replies were waited for until it was done."""
        running = asyncio.ensure_future(work)
        trips = 0
        self.holding = True
        while True:
            await eventually(lambda: running.done() or self.waiting, what="a reply")
            if running.done():
                self.holding = False
                await running
                return trips
            trips += 1
            self.pass_on()

    def close(self) -> None:
        for writer in self._open:
            writer.close()


@pytest.fixture
async def distance(redis_server: Store) -> AsyncIterator[Distance]:
    distance = Distance(redis_server.socket_of(keys.QUEUES))
    server = await asyncio.start_server(distance.accept, "127.0.0.1", 0)
    distance.port = server.sockets[0].getsockname()[1]
    async with server:
        yield distance
        distance.close()


@pytest.fixture
async def engine(distance: Distance) -> AsyncIterator[Engine]:
    client = client_as_relay(f"redis://127.0.0.1:{distance.port}")
    engine = make_engine(
        ScriptRunner(link_to(client)),
        server_id="s",
        first_settings=lambda queue: {"max_jobs": 5.0} if queue.startswith("tenant") else {},
    )
    await engine.scripts.load()
    try:
        yield engine
    finally:
        distance.holding = False
        distance.pass_on()
        await client.aclose()


async def test_the_first_enqueue_of_a_name_costs_two_round_trips_and_every_other_one(
    distance: Distance, engine: Engine
) -> None:
    queue = new_queue()
    assert await distance.trips(engine.transitions.enqueue(queue, [a_job()], owner="ann")) == 2
    assert await distance.trips(engine.transitions.enqueue(queue, [a_job()], owner="ann")) == 1


async def test_a_name_is_noted_again_beside_the_enqueue_not_before_it(
    distance: Distance, engine: Engine
) -> None:
    now = 0.0
    set_names_clock(engine.names, lambda: now)
    queue = new_queue()
    await engine.transitions.enqueue(queue, [a_job()])
    for _ in range(10):
        now += RENEW_S + 1
        assert await distance.trips(engine.transitions.enqueue(queue, [a_job()])) == 1
        assert await distance.trips(Renewer(engine.names, engine.operations).run_once()) == 1


async def test_many_first_enqueues_of_a_name_enter_it_once(distance: Distance, engine: Engine) -> None:
    queue = new_queue()
    jobs = [engine.transitions.enqueue(queue, [a_job()], owner="ann") for _ in range(50)]
    assert await distance.trips(asyncio.gather(*jobs)) == 2


async def test_a_storm_of_names_over_the_quota_costs_a_few_trips(distance: Distance, engine: Engine) -> None:
    ann, mine, theirs = new_queue(), new_queue(), new_queue()
    await engine.transitions.enqueue(mine, [a_job()], owner=ann)
    await engine.scripts.run("enter", keys.NAMES_KEYS, ["", 0, theirs])  # as another server does
    limit_names(engine.names, NameLimits(owned_max=1))

    async def storm() -> list[object]:
        calls = [engine.transitions.enqueue(new_queue(), [a_job()], owner=ann) for _ in range(200)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with pytest.raises(QuotaExceeded):
        await engine.transitions.enqueue(new_queue(), [a_job()], owner=ann)
    work = asyncio.ensure_future(asyncio.wait_for(storm(), 30))
    assert await distance.trips(work) == 2
    outcomes = work.result()
    assert {type(error) for error in outcomes} == {QuotaExceeded}
    assert f"{ann} has made 1 queues" in str(outcomes[0])
    # What there is can be used meanwhile, by whoever made it; and others make what they may.
    assert await distance.trips(engine.transitions.enqueue(mine, [a_job()], owner=ann)) == 1
    await engine.transitions.enqueue(theirs, [a_job()], owner=ann)
    await engine.transitions.enqueue(new_queue(), [a_job()], owner=f"not {ann}")
    # There is room again: nothing is refused for what was.
    await engine.names.leave(mine)
    await engine.transitions.enqueue(new_queue(), [a_job()], owner=ann)


async def test_first_settings_cost_a_third_once(distance: Distance, engine: Engine) -> None:
    queue = f"tenant-{new_queue()}"
    assert await distance.trips(engine.transitions.enqueue(queue, [a_job()])) == 3
    assert await distance.trips(engine.transitions.enqueue(queue, [a_job()])) == 1


async def test_a_claim_of_known_queues_costs_one(distance: Distance, engine: Engine) -> None:
    queues = [new_queue() for _ in range(32)]
    assert await distance.trips(engine.names.enter_all(queues, owner="ann")) == 1
    assert await distance.trips(engine.transitions.claim(queues[0], [])) == 1


async def test_an_enqueue_does_not_wait_for_what_somebody_else_asked(
    distance: Distance, engine: Engine
) -> None:
    """Each call used to wait for the rest of the pipeline that was under way, and then for its own."""
    queue = new_queue()
    await engine.transitions.enqueue(queue, [a_job()])
    await asyncio.gather(*(engine.names.knows(queue) for _ in range(3)))
    distance.holding = True
    another = asyncio.ensure_future(engine.scripts.command("HLEN", keys.SESSION_KEYS["entry"]))
    await eventually(lambda: distance.waiting == 1, what="the reply of another call")
    enqueuing = asyncio.ensure_future(engine.transitions.enqueue(queue, [a_job()]))

    # It goes on a connection of its own, which may still have to be made.
    async def enqueued() -> bool:
        if distance.waiting > 1:
            distance.pass_on(1)
        return enqueuing.done()

    await eventually(enqueued, what="the enqueue")
    assert not another.done()
    assert len(await enqueuing) == 1
    distance.holding = False
    distance.pass_on()
    await another
