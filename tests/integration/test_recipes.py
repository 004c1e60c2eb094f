"""The grpcurl lines of the README, by reflection alone: buf curl stands in for grpcurl."""

import asyncio
import json
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from relay.v1 import queue_service_pb2 as pb
from tests.support.relay import Relay, spec

PAGE = (Path(__file__).parents[2] / "README.md").read_text()
# method -> the words of its line
RECIPES = {
    line.rsplit("/", 1)[1]: shlex.split(line) for line in re.findall(r"^\$ (grpcurl .*)$", PAGE, re.MULTILINE)
}
BUF = Path(sys.executable).with_name("buf")


async def run(relay: Relay, method: str, **put_in: str) -> list[dict[str, Any]]:
    """Runs a recipe as it is written, with what a reader puts in; returns the messages it shows."""
    words = [re.sub(r"\b(TOKEN|JOB)\b", lambda match: put_in[match[1]], word) for word in RECIPES[method]]
    options = dict(pairwise(words))
    process = await asyncio.create_subprocess_exec(
        *(str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", options["-d"]),
        f"http://{relay.address}/{words[-1]}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    shown = ""
    try:
        # A Claim goes on: grpcurl ends it by -max-time, and this test once it has the jobs.
        while not (method == "Claim" and '"jobs"' in shown and _messages(shown)[1:]):
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            if not line:
                break
            shown += line.decode()
        if method != "Claim":
            assert await process.wait() == 0, (await process.stderr.read()).decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return _messages(shown)


def _messages(text: str) -> list[dict[str, Any]]:
    """The JSON objects that are whole."""
    decoder, found, at = json.JSONDecoder(), list[dict[str, Any]](), 0
    while (at := text.find("{", at)) >= 0:
        try:
            message, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        found.append(message)
    return found


async def test_the_recipes_by_reflection_alone(relay: Relay) -> None:
    (made,) = await run(relay, "Enqueue")
    started, frame = await run(relay, "Claim")
    assert started["started"]["sessionId"]
    (claimed,) = frame["jobs"]["jobs"]
    assert claimed["job"]["id"] == made["jobId"]
    assert claimed["job"]["payload"] == "eyJ0byI6ICJhZGEifQ=="
    assert (await relay.stats("emails")).inflight == 1

    (acked,) = await run(relay, "Ack", TOKEN=frame["jobs"]["leaseToken"], JOB=made["jobId"])
    assert acked["outcomes"] == ["LEASE_OUTCOME_OK"]

    (dead_id,) = await relay.enqueue("emails", spec(type="welcome"))
    worker = await relay.claimer("emails", max_in_flight=1)
    await worker.nack(*await worker.take(1), kind=pb.NACK_KIND_DEAD)
    await worker.close()
    (stats,) = await run(relay, "Stats")
    assert stats["queues"][0]["dead"] == "1"
    assert stats["queues"][0]["counters"]["acked"] == "1"
    (page,) = await run(relay, "ListDeadLetters")
    assert [job["id"] for job in page["jobs"]] == [dead_id]
    assert (await run(relay, "RequeueDeadLetters"))[-1]["requeued"] == "1"
    assert (await relay.stats("emails")).ready == 1


def test_each_call_that_is_shown_runs() -> None:
    assert set(RECIPES) == {"Enqueue", "Claim", "Ack", "Stats", "ListDeadLetters", "RequeueDeadLetters"}
