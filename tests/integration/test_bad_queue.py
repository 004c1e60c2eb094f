"""A queue that cannot be served, here one whose key has a wrong type, costs the other queues of its workers nothing."""

from tests.support.relay import Relay, new_queue
from tests.support.stores import Store


async def test_a_broken_queue_takes_no_slots(relay: Relay, relay_redis: Store) -> None:
    broken, sound = new_queue(), new_queue()
    async with relay_redis.raw_client() as client:
        await client.execute_command("SET", f"relay:{{{broken}}}:ready", "not a zset")
    worker = await relay.claimer({broken: 100, sound: 1}, max_in_flight=1)
    await relay.enqueue(sound)
    for _ in range(5):
        await relay.enqueue(sound)
        await worker.ack(*await worker.take(1, within=3))
