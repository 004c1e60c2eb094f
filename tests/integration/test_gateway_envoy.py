"""The same requests to our gateway and to Envoy's, on one server. Where they differ, docs/http.md says why."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay_server.contract.services import SERVICES
from tests.integration.conftest import Start
from tests.support.envoy import envoy
from tests.support.http import Answer, request

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
TOKEN = "AAAAAAAAAAAAAAAAAAAAAA=="
JOBS = "/queues/q1/jobs"

# What changes from one moment to the next: loops run scripts between two requests, nodes of a cluster talk.
VOLATILE = {"time", "oldestReadyAge", "scripts", "usedMemoryBytes"}


@dataclass(frozen=True, slots=True)
class Row:
    """A request. `difference` is a row of the page's table, and the two codes; none: the answers are equal."""

    verb: str
    path: str
    body: str = ""
    difference: str = ""
    codes: tuple[int, int] = (0, 0)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


ROWS = (
    # paths
    Row("GET", "/queues/q%31/history"),
    Row("GET", "/queues/a%2Fb/history"),
    Row("GET", "/queues/a%20b/history"),
    Row("GET", "/queues/none/history"),
    Row("GET", f"{JOBS}/{ID}"),
    Row("POST", f"{JOBS}/none:run", "{}"),
    Row("HEAD", "/stats"),
    Row("GET", "/queues/%ff/history", difference="bad UTF-8 in a path", codes=(400, 400)),
    Row("GET", "/stats/", difference="trailing slash", codes=(404, 200)),
    Row("GET", "/nothing", difference="unknown route", codes=(404, 503)),
    Row("POST", "/queues/q1:nothing", "{}", "unknown route", (405, 503)),
    Row("DELETE", "/stats", difference="wrong method", codes=(405, 200)),
    # query
    Row("GET", "/stats?queue=q1"),
    Row("GET", "/queues?prefix=q&page_size=3"),
    Row("GET", "/queues?prefix=q&pageSize=3"),
    Row("GET", f"{JOBS}?state=JOB_STATE_READY"),
    Row("GET", f"{JOBS}?state=1"),
    Row("GET", f"{JOBS}?page_size=2"),
    Row("GET", "/queues/q1/dead?filter.all=true&filter.errorType=E"),
    Row("GET", "/queues/q1/dead?filter.died_after=2026-01-01T00:00:00Z"),
    Row("GET", "/queues/q1/history?span=60s"),
    Row("GET", f"{JOBS}?state=READY", difference="errors of the transcoder", codes=(400, 400)),
    Row("GET", f"{JOBS}?state=1&page_size=x", difference="errors of the transcoder", codes=(400, 400)),
    Row("GET", "/queues/q1/history?span=60", difference="errors of the transcoder", codes=(400, 400)),
    Row("GET", "/queues?nothing=3", difference="unknown query parameter", codes=(400, 503)),
    Row("GET", "/queues?prefix=q&prefix=x", difference="a parameter twice", codes=(400, 200)),
    Row("POST", "/queues/q1:resume?queue=none", "{}", "a field of the path given again", (400, 404)),
    # bodies
    Row("POST", JOBS, '{"job":{"id":"$ID","type":"t","max_runtime":"1.5s","payload":"e30="}}'),
    Row("POST", JOBS, '{"job":{"id":"$ID","type":"t","maxRuntime":"1.5s","payload":"e30="}}'),
    Row("POST", JOBS, '{"job":{"id":"$ID","type":"t","maxRuntime":"1.5s","payload":"_-8"}}'),
    Row("POST", JOBS, '{"job":{"type":""}}'),
    Row("POST", JOBS, '{"job":null}'),
    Row("POST", f"{JOBS}:batch", '{"requestId":"r","jobs":[{"id":"$ID","type":"t"}]}'),
    Row("POST", f"{JOBS}:batch", '{"jobs":[]}'),
    Row("PATCH", "/queues/q1", '{"maxExpirations":4}'),
    Row("PATCH", "/queues/q1", '{"max_expirations":"4","rate":1.5}'),
    Row("PATCH", "/queues/q1", "{}"),
    Row("POST", "/queues/q1:pause", "{}"),
    Row("POST", "/queues/q1:resume"),
    Row("POST", "/leases:extend", '{"leases":[{"queue":"q1","leaseToken":"$TOKEN","jobIds":["$ID"]}]}'),
    Row("GET", "/server"),
    Row("POST", JOBS, '{"job":{"type":"t","nothing":1}}', "unknown field", (400, 200)),
    Row("PATCH", "/queues/q1", '{"nothing":4}', "unknown field", (400, 400)),
    Row("GET", f"{JOBS}/{ID}", difference="payloadJson", codes=(200, 200)),
    Row("POST", "/queues/q1:resume", '{"queue":"none"}', "a field of the path given again", (400, 404)),
    Row("POST", JOBS, '{"job":{"type":5}}', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":{"type":"t","priority":1.5}}', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":{"type":"t","payload":"@@@"}}', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, "[]", "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":{"type":"t","retry":{"multiplier":NaN}}}', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":{"delay":"1s","runAt":"2026-01-01T00:00:00Z"}}', "errors of the transcoder", (400, 400)),
    Row("POST", JOBS, '{"job":{"type":"t","retry":{"multiplier":"NaN"}}}', "NaN in a string", (400, 400)),
    Row("POST", JOBS, '{"job":{"type":"","type":""}}', "a name twice", (400, 400)),
    Row("POST", JOBS, '{"job":{"id":"$ID","type":"t","maxRuntime":"1.5s"},}', "JSON that is none", (400, 200)),
    Row("POST", JOBS, "{job:{id:'$ID',type:'t'}}", "JSON that is none", (400, 200)),
    Row("POST", JOBS, '{"job":{"id":"$ID","type":"t"}}', "content type", (415, 200), "text/plain"),
    Row("GET", "/stats", "{}", "a body on GET", (400, 200)),
    # streams
    Row("GET", "/audit?queue=q1", difference="streams", codes=(200, 200)),
    Row("POST", "/queues/q1/dead:requeue", '{"filter":{"all":true},"dryRun":true}', "streams", (200, 200)),
    Row("GET", "/audit?queue=none"),
    # headers
    Row("GET", "/stats", difference="Accept", codes=(406, 200), headers=(("Accept", "text/html"),)),
    Row("GET", "/stats", difference="bad deadline", codes=(400, 500), headers=(("Grpc-Timeout", "soon"),)),
    Row("POST", "/queues/q1:resume", "{}", "Origin", (403, 200), headers=(("Origin", "http://evil.example"),)),
    Row("POST", JOBS, '{"job":{"payload":"%s"}}' % ("A" * 1_500_000), "too large", (413, 429)),
)  # fmt: skip


async def test_the_same_answers_as_envoy_but_for_the_listed_differences(
    another: Start, tmp_path: Path
) -> None:
    relay = await another(http="127.0.0.1:0")
    await relay.enqueue("q1")
    failed = list[str]()
    async with envoy(SERVICES, relay.address, tmp_path) as socket:
        for row in ROWS:
            ours, theirs = await ask(relay.http_port, row), await ask(socket, row)
            failed += problems(row, ours, theirs)
    assert not failed, "\n".join(failed)


def test_the_page_gives_each_difference_a_reason() -> None:
    table = PAGE.read_text().partition("## Compared with Envoy")[2]
    listed = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert listed - {"difference"} == {row.difference for row in ROWS} - {""}


async def ask(where: int | Path, row: Row) -> Answer:
    headers = dict(row.headers) | ({"Content-Type": row.content_type} if row.body else {})
    body = row.body.replace("$ID", ID).replace("$TOKEN", TOKEN).encode()
    return await request(where, row.verb, f"/api/v1{row.path}", body=body, headers=headers)


def problems(row: Row, ours: Answer, theirs: Answer) -> Iterator[str]:
    what = f"{row.verb} {row.path} {row.body[:60]}"
    same = ours.status == theirs.status and shown(ours) == shown(theirs)
    if not row.difference and not same:
        yield f"{what}: {ours.status} {ours.body[:300]!r}, Envoy {theirs.status} {theirs.body[:300]!r}"
    elif row.difference and same:
        yield f"{what}: no longer differs ({row.difference})"
    elif row.difference and (ours.status, theirs.status) != row.codes:
        yield f"{what}: {ours.status}, Envoy {theirs.status}, expected {row.codes}"


def shown(answer: Answer) -> Any:
    """The JSON of an answer without what changes by itself; its text when it is no JSON."""
    try:
        return steady(json.loads(answer.body))
    except ValueError:
        return answer.body


def steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: steady(entry) for name, entry in value.items() if name not in VOLATILE}
    return [steady(entry) for entry in value] if isinstance(value, list) else value
