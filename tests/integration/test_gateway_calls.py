"""Every RPC once over HTTP, what the JSON looks like, and what gets no further than the gateway."""

import asyncio
import base64
import json
from typing import Any

import pytest

from relay_server.contract.services import SERVICES
from relay_server.gateway.transcoding.routes import Routes
from tests.integration.conftest import Start
from tests.support.http import Answer, opened, request
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay, eventually, new_queue, spec


class Api:
    """The HTTP side of a server. Remembers which RPCs were called."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.port = relay.http_port
        self.called: set[str] = set()
        self._routes = Routes(SERVICES)

    async def __call__(self, verb: str, path: str, json: Any = None, **options: Any) -> Answer:
        self._note(verb, path)
        if json is not None:
            options["json"] = json
        return await request(self.port, verb, f"/api/v1{path}", **options)

    def open(self, verb: str, path: str, **options: Any) -> Any:
        self._note(verb, path)
        return opened(self.port, verb, f"/api/v1{path}", **options)

    def _note(self, verb: str, path: str) -> None:
        for route in self._routes.all:
            if verb == route.verb and route.template.match(f"/api/v1{path}".partition("?")[0]) is not None:
                self.called.add(route.method.path)
                return


@pytest.fixture
async def api(another: Start) -> Api:
    return Api(await another(http="127.0.0.1:0"))


async def test_every_rpc_over_http(api: Api) -> None:
    queue = new_queue()
    at = f"/queues/{queue}"

    made = await api("POST", f"{at}/jobs", {"job": {"type": "a", "payloadJson": {"n": 1}}})
    assert made.status == 200
    job_id = made.json["jobId"]
    batch = await api(
        "POST",
        f"{at}/jobs:batch",
        {"jobs": [{"type": "b"}, {"type": "c", "delay": "600s"}], "requestId": "r1"},
    )
    delayed_id = batch.json["results"][1]["jobId"]

    assert (await api("GET", f"/stats?queue={queue}")).json["queues"][0]["ready"] == "2"
    async with api.open("GET", f"/stats:watch?queue={queue}") as watch:
        assert (await watch.json_line())["queues"][0]["queue"] == queue
    assert (await api("GET", f"{at}/history?span=3600s")).status == 200
    assert [one["name"] for one in (await api("GET", f"/queues?prefix={queue}")).json["queues"]] == [queue]
    settings = (await api("PATCH", at, {"maxExpirations": 5})).json["queue"]["settings"]
    assert settings["maxExpirations"] == 5
    assert (await api("POST", f"{at}:pause")).json["queue"]["paused"] is True
    assert "paused" not in (await api("POST", f"{at}:resume", {})).json["queue"]
    page = (await api("GET", f"{at}/jobs?state=JOB_STATE_DELAYED")).json
    assert [job["id"] for job in page["jobs"]] == [delayed_id]
    whole = (await api("GET", f"{at}/jobs/{job_id}")).json["job"]
    assert base64.b64decode(whole["payload"]) == b'{"n":1}'
    assert (whole["payloadJson"], whole["contentType"]) == ({"n": 1}, "application/json")
    assert (await api("POST", f"{at}/jobs/{delayed_id}:run")).json == {}
    cancel = await api("POST", f"{at}/jobs:cancel", {"ids": {"ids": [delayed_id]}})
    assert cancel.lines[-1] == {"examined": "1", "matched": "1", "cancelled": "1", "total": "1", "done": True}

    worker = {"queues": [{"queue": queue}], "workerId": "w", "maxInFlight": 2}
    async with api.open("POST", "/claims", json=worker) as claim:
        assert claim.headers["content-type"] == "application/x-ndjson"
        assert (await claim.json_line())["started"]["maxInFlight"] == 2
        jobs = (await claim.json_line())["jobs"]
        if len(jobs["jobs"]) == 1:  # the two may come in two frames
            more = (await claim.json_line())["jobs"]
            tokens = [jobs["leaseToken"], more["leaseToken"]]
            claimed = [jobs["jobs"][0]["job"]["id"], more["jobs"][0]["job"]["id"]]
        else:
            tokens = [jobs["leaseToken"]] * 2
            claimed = [job["job"]["id"] for job in jobs["jobs"]]
        workers = await eventually(lambda: _workers(api), what="the worker in the list")
        assert [worker["workerId"] for worker in workers] == ["w"]
        lease = {"queue": queue, "leaseToken": tokens[0], "jobIds": [claimed[0]]}
        extended = await api("POST", "/leases:extend", {"leases": [lease]})
        assert extended.json["results"][0]["outcome"] == "LEASE_OUTCOME_OK"
        acked = await api("POST", "/leases:ack", {"leases": [lease]})
        assert acked.json == {"outcomes": ["LEASE_OUTCOME_OK"]}
        dead = {"queue": queue, "leaseToken": tokens[1], "jobId": claimed[1], "kind": "NACK_KIND_DEAD"}
        nacked = await api("POST", "/leases:nack", {"jobs": [dead | {"error": {"type": "Boom"}}]})
        assert nacked.json["results"][0]["state"] == "JOB_STATE_DEAD"

    found = (await api("GET", f"{at}/dead?filter.error_type=Boom&filter.diedAfter=2020-01-01T00:00:00Z")).json
    assert [job["id"] for job in found["jobs"]] == [claimed[1]]
    assert (await api("GET", f"{at}/dead:group")).json["groups"][0]["errorType"] == "Boom"
    assert (await api("POST", f"{at}/dead:requeue", {"filter": {"all": True}})).lines[-1]["requeued"] == "1"
    assert (await api("POST", f"{at}/dead:purge", {"filter": {"all": True}})).lines[-1]["done"] is True
    assert (await api("GET", f"/audit?queue={queue}")).lines[-1]["done"] is True
    assert (await api("POST", f"{at}:purge", {"confirm": queue})).lines[-1]["purged"] == "1"
    assert (await api("GET", "/server")).json["limits"]["batchJobsMax"] == 500

    assert api.called == {route.method.path for route in Routes(SERVICES).all}


async def _workers(api: Api) -> list[Any]:
    return list((await api("GET", "/workers")).json.get("workers", []))


async def test_both_spellings_and_head(api: Api) -> None:
    queue = new_queue()
    answers = [
        await api("POST", f"/queues/{queue}/jobs", body)
        for body in (
            {"job": {"type": "t", "max_runtime": "2.5s", "idempotency_key": "k"}},
            {"job": {"type": "t", "maxRuntime": "2.500s", "idempotencyKey": "k"}, "queue": queue},
        )
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].json["deduplicated"] is True
    head = await api("HEAD", "/stats")
    assert (head.status, head.body) == (200, b"")


async def test_the_idempotency_key_header(api: Api) -> None:
    queue = new_queue()
    one, again = [
        await api("POST", f"/queues/{queue}/jobs", {"job": {"type": "t"}}, headers={"Idempotency-Key": key})
        for key in ('"order-1"', "order-1")
    ]
    assert (again.json["jobId"], again.json["deduplicated"]) == (one.json["jobId"], True)
    batches = [
        await api(
            "POST", f"/queues/{queue}/jobs:batch", {"jobs": [{"type": "t"}]}, headers={"Idempotency-Key": "b"}
        )
        for _ in range(2)
    ]
    assert batches[0].json == batches[1].json
    other = {"job": {"type": "t", "idempotencyKey": "another"}}
    clash = await api("POST", f"/queues/{queue}/jobs", other, headers={"Idempotency-Key": "order-1"})
    assert (clash.status, list(clash.violations)) == (400, ["job.idempotency_key"])


async def test_errors_of_the_server_keep_their_details(api: Api) -> None:
    queue = new_queue()
    unknown = await api("GET", f"/queues/{queue}/jobs?state=JOB_STATE_READY")
    assert (unknown.status, unknown.json["code"], unknown.reason) == (404, 5, "QUEUE_NOT_FOUND")
    invalid = await api("POST", f"/queues/{queue}/jobs", {"job": {"type": "", "priority": 99}})
    assert (invalid.status, set(invalid.violations)) == (400, {"job.type", "job.priority"})
    body = {"job": {"type": "t", "payload": base64.b64encode(bytes(1 << 20) + b"x").decode()}}
    large = await api("POST", f"/queues/{queue}/jobs", body)
    assert (large.status, large.json["code"], large.reason) == (413, 8, "TOO_LARGE")
    job = {"type": "t", "idempotencyKey": "k"}
    await api("POST", f"/queues/{queue}/jobs", {"job": job | {"payloadJson": 1}})
    mismatch = await api("POST", f"/queues/{queue}/jobs", {"job": job | {"payloadJson": 2}})
    assert (mismatch.status, mismatch.reason) == (409, "IDEMPOTENCY_MISMATCH")
    await api("PATCH", f"/queues/{queue}", {"maxJobs": "1"})
    full = await api("POST", f"/queues/{queue}/jobs", {"job": {"type": "t"}})
    assert (full.status, full.reason) == (429, "QUEUE_FULL")
    assert int(full.headers["retry-after"]) >= 1
    at_start = await api("POST", f"/queues/{new_queue()}:purge", {"dryRun": True})
    assert (at_start.status, at_start.reason) == (404, "QUEUE_NOT_FOUND")


ENQUEUE = "/queues/q/jobs"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("verb", "path", "options", "status", "reason"),
    [
        ("GET", "/nothing", {}, 404, "UNKNOWN_ROUTE"),
        ("GET", "/stats/", {}, 404, "UNKNOWN_ROUTE"),
        ("GET", "/queues//jobs", {}, 404, "UNKNOWN_ROUTE"),
        ("DELETE", "/stats", {}, 405, "METHOD_NOT_ALLOWED"),
        ("HEAD", "/audit", {}, 405, ""),
        ("OPTIONS", ENQUEUE, {"headers": {"Origin": "http://evil.example"}}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/stats", {"headers": {"Accept": "text/html"}}, 406, "NOT_ACCEPTABLE"),
        ("GET", "/stats:watch", {"headers": {"Accept": "image/png"}}, 406, "NOT_ACCEPTABLE"),
        ("POST", ENQUEUE, {"body": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "POST",
            ENQUEUE,
            {"body": b"{}", "headers": {"Content-Type": "text/plain"}},
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("POST", ENQUEUE, {"body": b"{}", "headers": JSON | {"Content-Encoding": "gzip"}}, 415, None),
        ("POST", ENQUEUE, {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, None),
        ("POST", ENQUEUE, {"body": b'{"a": \n }', "headers": JSON}, 400, "INVALID_FIELD"),
        ("POST", ENQUEUE, {"json": []}, 400, "INVALID_FIELD"),
        ("POST", ENQUEUE, {"body": b" " * (6 << 20) + b"{}", "headers": JSON}, 413, "TOO_LARGE"),
        ("GET", "/stats", {"headers": {"Grpc-Timeout": "soon"}}, 400, "INVALID_FIELD"),
        ("GET", "/stats", {"headers": {"X-Relay-Timeout": "0s"}}, 400, "INVALID_FIELD"),
        ("GET", "/stats?nothing=1", {}, 400, "INVALID_FIELD"),
        ("GET", "/queues/%ff/history", {}, 400, "INVALID_FIELD"),
        ("POST", ENQUEUE, {"json": {}, "headers": {"Origin": "http://evil.example"}}, 403, "FOREIGN_ORIGIN"),
        ("POST", ENQUEUE, {"json": {}, "headers": {"Origin": "null"}}, 403, "FOREIGN_ORIGIN"),
        ("POST", "/claims", {"json": {}, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "FOREIGN_ORIGIN"),
        ("POST", "/claims", {"json": {}, "headers": {"Sec-Fetch-Site": "same-site"}}, 403, "FOREIGN_ORIGIN"),
        ("GET", "/stats", {"host": "evil.example"}, 421, "FOREIGN_HOST"),
    ],
)
async def test_refusals_of_the_gateway(
    api: Api, verb: str, path: str, options: dict[str, Any], status: int, reason: str | None
) -> None:
    answer = await request(api.port, verb, f"/api/v1{path}", **options)
    assert answer.status == status, answer.body
    assert "access-control-allow-origin" not in answer.headers
    if verb == "HEAD":
        return
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["message"]
    if reason is not None:
        assert answer.reason == reason
    assert (status == 405) == ("allow" in answer.headers)


async def test_bad_json_says_where(api: Api) -> None:
    answer = await api("POST", ENQUEUE, body=b'{"job":\n  {"type": tru}}', headers=JSON)
    assert answer.violations["body"] == "is not JSON: Expecting value at line 2 column 12"


async def test_our_own_pages_may_change_things(api: Api) -> None:
    queue = new_queue()
    for headers in (
        {"Origin": f"http://127.0.0.1:{api.port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {},
    ):
        answer = await api("POST", f"/queues/{queue}/jobs", {"job": {"type": "t"}}, headers=headers)
        assert answer.status == 200


@pytest.mark.one_server
async def test_a_deadline_is_a_status(api: Api, relay_redis: RedisServer) -> None:
    async with relay_redis.client() as client:
        await client.client_pause(2000)
        for headers in ({"Grpc-Timeout": "100m"}, {"X-Relay-Timeout": "0.1s"}):
            answer = await api("GET", "/stats", headers=headers)
            assert (answer.status, answer.json["code"]) == (504, 4)
            assert "longer than 0.1 s" in answer.json["message"]


@pytest.mark.parametrize("path", ["queues/q/jobs", "sign-in"])
async def test_a_body_that_never_ends_is_given_up(another: Start, path: str) -> None:
    relay = await another(http="127.0.0.1:0", http_timeout_max_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.http_port)
    try:
        head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        writer.write(f"{head}{{".encode())
        answer = await asyncio.wait_for(reader.read(), 20)  # the connection is closed, too
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"SLOW_BODY" in answer


async def test_calls_count_as_any_other_and_carry_the_trace(api: Api) -> None:
    await api("GET", "/stats")
    text = (await request(api.port, "GET", "/metrics")).body.decode()
    assert 'relay_grpc_handled_total{code="OK",method="/relay.v1.AdminService/Stats"}' in text


async def test_while_the_server_takes_no_calls_the_answer_says_so(api: Api) -> None:
    await api.relay.app.grpc.stop(0)
    answer = await eventually(lambda: _draining(api), what="DRAINING")
    assert (answer.json["code"], answer.headers["retry-after"]) == (14, "1")


async def _draining(api: Api) -> Answer | None:
    answer = await api("GET", "/stats")
    return answer if (answer.status, answer.reason) == (503, "DRAINING") else None


async def test_jobs_from_grpc_show_their_json_and_others_their_bytes(api: Api) -> None:
    queue = new_queue()
    shown = {
        b'{"a": [1, 2]}': {"a": [1, 2]},
        b"not json": None,
        b'{"a":1,"a":2}': None,
        json.dumps("x" * (64 << 10)).encode(): None,
    }
    for payload, expected in shown.items():
        (job_id,) = await api.relay.enqueue(queue, spec(payload))
        job = (await api("GET", f"/queues/{queue}/jobs/{job_id}")).json["job"]
        assert base64.b64decode(job["payload"]) == payload
        assert job.get("payloadJson") == expected
    (job_id,) = await api.relay.enqueue(queue, spec(b"{}", content_type="text/plain"))
    assert "payloadJson" not in (await api("GET", f"/queues/{queue}/jobs/{job_id}")).json["job"]
