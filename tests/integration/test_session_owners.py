"""A worker's session is its principal's alone (I18): over gRPC nobody else takes its stream or opens its window."""

from typing import Any

from relay.v1 import queue_service_pb2 as pb
from tests.support.credentials import TokensFile, bearer
from tests.support.relay import Relay, new_id, relay_server, spec

QUEUE = "mine"


async def read(stream: Any, kind: str) -> Any:
    """The next frame of this kind."""
    while (frame := await stream.read()).WhichOneof("frame") != kind:
        pass
    return frame


async def claim(relay: Relay, token: str, session_id: str = "") -> tuple[Any, pb.Started]:
    """An open stream that takes one job at a time."""
    request = pb.ClaimRequest(
        queues=[pb.QueueWeight(queue=QUEUE, weight=1)], worker_id="w", max_in_flight=1, session_id=session_id
    )
    stream: Any = relay.queue.Claim(request, metadata=bearer(token))
    return stream, (await stream.read()).started


async def report_free(relay: Relay, token: str, started: pb.Started) -> None:
    """Says for the session that its one job is done, in a call about a lease that nobody has."""
    window = pb.WindowReport(
        session_id=started.session_id, received=1, in_flight=0, seq=1, stream=started.stream
    )
    unknown = pb.LeaseGroup(queue=QUEUE, lease_token=b"x" * 16, job_ids=[new_id()])
    await relay.queue.Ack(pb.AckRequest(leases=[unknown], window=window), metadata=bearer(token))


async def test_nobody_else_opens_its_window(redis_url: str, tokens: TokensFile) -> None:
    shop = tokens.add("shop", producer="*", worker="*")
    mallory = tokens.add("mallory", worker="*")
    async with relay_server(redis_url, tokens_file=tokens.path) as relay:
        batch = pb.EnqueueBatchRequest(queue=QUEUE, jobs=[spec(), spec()])
        await relay.queue.EnqueueBatch(batch, metadata=bearer(shop))
        stream, started = await claim(relay, shop)
        await read(stream, "jobs")
        await report_free(relay, mallory, started)
        assert (await read(stream, "keep_alive")).keep_alive.unsettled == 1
        await report_free(relay, shop, started)
        await read(stream, "jobs")
        stream.cancel()


async def test_nobody_else_takes_over_its_stream(redis_url: str, tokens: TokensFile) -> None:
    shop, mallory = (tokens.add(name, worker="*") for name in ("shop", "mallory"))
    async with relay_server(redis_url, tokens_file=tokens.path) as relay:
        stream, started = await claim(relay, shop)
        theirs, other = await claim(relay, mallory, started.session_id)
        assert other.session_id not in {"", started.session_id}
        for one in (stream, theirs):
            await read(one, "keep_alive")
        again, same = await claim(relay, shop, started.session_id)
        assert same.session_id == started.session_id
        for one in (stream, theirs, again):
            one.cancel()
