"""`/metrics`: who may read it on which listener, in which encoding, and what readiness costs the store."""

import gzip
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_server.observability.metrics import CONTENT_TYPE
from tests.support.credentials import TokensFile
from tests.support.http import request
from tests.support.relay import Relay, new_queue, relay_server, spec

Start = Callable[..., Awaitable[Relay]]
EVERYWHERE = "127.0.0.1:0"


@pytest.fixture
async def guarded(redis_url: str, tokens: TokensFile) -> AsyncIterator[Relay]:
    tokens.add("ada", operator="*")
    async with relay_server(redis_url, tokens_file=tokens.path, http=EVERYWHERE, metrics=EVERYWHERE) as relay:
        yield relay


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_tokens_it_asks_nobody(another: Start) -> None:
    relay = await another(http=EVERYWHERE)
    await relay.queue.Enqueue(pb.EnqueueRequest(queue=new_queue(), job=spec()))
    answer = await request(relay.http_port, "GET", "/metrics", host="prometheus-target")
    assert (answer.status, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    assert b'relay_grpc_handled_total{code="OK",method="/relay.v1.QueueService/Enqueue"}' in answer.body
    assert b'relay_batch_jobs_count{operation="enqueue"}' in answer.body
    assert b"\nrelay_streams 0.0\n" in answer.body
    assert b"\nrelay_http_connections 1.0\n" in answer.body


async def test_with_tokens_it_is_for_viewers_of_every_queue(
    guarded: Relay, tokens: TokensFile, capfd: pytest.CaptureFixture[str]
) -> None:
    port = guarded.http_port
    allowed = [tokens.add("prometheus", viewer="*"), tokens.add("grace", operator="*")]
    refused = {
        "": 401,
        "relay_00000000_" + "x" * 43: 401,
        tokens.add("shop", viewer="shop-*"): 403,
        tokens.add("producer", producer="*"): 403,
    }
    assert guarded.app.credentials.tokens is not None
    guarded.app.credentials.tokens.reload()
    for token in allowed:
        assert (await request(port, "GET", "/metrics", headers=bearer(token))).status == 200
    for token, status in refused.items():
        answer = await request(port, "GET", "/metrics", headers=bearer(token) if token else {})
        assert (answer.status, b"relay_" in answer.body) == (status, False), answer.body
        assert ("www-authenticate" in answer.headers) == (status == 401)
    said = "".join(capfd.readouterr())
    assert said.count("rpc=metrics") == len(refused)


async def test_a_listener_of_its_own_asks_nobody_and_has_nothing_else(guarded: Relay) -> None:
    scraped = guarded.app.scraped
    assert scraped is not None
    for path in ("/metrics", "/healthz", "/readyz"):
        assert (await request(scraped.port, "GET", path, host="anything")).status == 200, path
    for path in ("/", "/api/v1/stats", "/api/v1/sign-in", "/openapi.json"):
        assert (await request(scraped.port, "GET", path)).status == 404, path


async def test_the_text_is_compressed_on_request(another: Start) -> None:
    port = (await another(http=EVERYWHERE)).http_port
    plain = await request(port, "GET", "/metrics")
    packed = await request(port, "GET", "/metrics", headers={"Accept-Encoding": "gzip;q=1.0, *;q=0"})
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in plain.headers
    text = gzip.decompress(packed.body)
    assert len(packed.body) * 3 < len(text)
    assert names(text) == names(plain.body)


def names(text: bytes) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))


async def test_readiness_is_asked_without_asking_the_store(another: Start) -> None:
    relay = await another(http=EVERYWHERE)
    looks = 0
    look = relay.app.storage.health

    async def counted() -> object:
        nonlocal looks
        looks += 1
        return await look()

    relay.app.storage.health = counted  # type: ignore[method-assign, assignment]
    began = time.monotonic()
    for _ in range(50):
        assert (await request(relay.http_port, "GET", "/readyz")).status == 200
    assert looks <= time.monotonic() - began + 2, "it looks by itself, once a second"
