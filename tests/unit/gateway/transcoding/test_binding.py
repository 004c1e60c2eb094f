"""Requests made of path, query and body, with routes of our own contract and one made for what it does not use."""

import json
from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format

from relay_server import errors
from relay_server.contract.bounds import Entries, bounds
from relay_server.contract.services import SERVICES
from relay_server.gateway.admitting.json_limits import JsonLimits, read_json
from relay_server.gateway.admitting.refusals import Refused
from relay_server.gateway.transcoding.binding import NO_BODY, request_of
from relay_server.gateway.transcoding.routes import BadRoute, Routes

_F = descriptor_pb2.FieldDescriptorProto
HEADERS = {str(i): "" for i in range(33)}
ID = "01890000-0000-7000-8000-000000000001"
MADE_LISTS = {
    "inner.tag_names": Entries(3),
    "many": Entries(2),
    "many.tag_names": Entries(3),
}


def made_routes(*rules: dict[str, Any]) -> Routes:
    """A service with one call, Do(Ask), and these http rules; the first one is the method's own."""
    file = descriptor_pb2.FileDescriptorProto(name="made.proto", package="made", syntax="proto3")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="size", number=1, type=_F.TYPE_INT64, label=_F.LABEL_OPTIONAL, json_name="size")
    inner.field.add(
        name="tag_names", number=2, type=_F.TYPE_STRING, label=_F.LABEL_REPEATED, json_name="tagNames"
    )
    ask = file.message_type.add(name="Ask")
    ask.field.add(name="name", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL, json_name="name")
    ask.field.add(
        name="inner",
        number=2,
        type=_F.TYPE_MESSAGE,
        type_name=".made.Inner",
        label=_F.LABEL_OPTIONAL,
        json_name="inner",
    )
    ask.field.add(name="on", number=3, type=_F.TYPE_BOOL, label=_F.LABEL_OPTIONAL, json_name="on")
    ask.field.add(
        name="many",
        number=4,
        type=_F.TYPE_MESSAGE,
        type_name=".made.Inner",
        label=_F.LABEL_REPEATED,
        json_name="many",
    )
    method = file.service.add(name="Made").method.add(
        name="Do", input_type=".made.Ask", output_type=".made.Inner"
    )
    first, *more = (http_pb2.HttpRule(**rule) for rule in rules)
    first.additional_bindings.extend(more)
    method.options.Extensions[annotations_pb2.http].CopyFrom(first)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return Routes([pool.FindServiceByName("made.Made")], lambda kind: bounds(kind, 1000, MADE_LISTS))


OURS = Routes(SERVICES)
MADE = made_routes(
    {"get": "/m/{name=**}", "additional_bindings": []},
    {"put": "/m/{name}/inner", "body": "inner"},
    {"post": "/m/{inner.size}:do", "body": "*"},
    {"delete": "/m"},
)


def bound(routes: Routes, verb: str, target: str, body: bytes = b"", key: str = "") -> dict[str, Any]:
    """The request, as the library shows it."""
    path, _, query = target.partition("?")
    value = read_json(body, JsonLimits()) if body else NO_BODY
    message = request_of(routes.find(verb, path), query.encode(), value, idempotency_key=key)
    return json_format.MessageToDict(message)


@pytest.mark.parametrize(
    ("routes", "verb", "target", "body", "request_"),
    [
        (OURS, "GET", "/api/v1/stats", b"", {}),
        (OURS, "GET", "/api/v1/stats?queue=a%20b", b"", {"queue": "a b"}),
        (OURS, "GET", "/api/v1/stats?queue=", b"", {}),
        (
            OURS,
            "GET",
            "/api/v1/queues/q/jobs?state=JOB_STATE_DEAD&page_size=5&pageToken=t",
            b"",
            {"queue": "q", "state": "JOB_STATE_DEAD", "pageSize": 5, "pageToken": "t"},
        ),
        (OURS, "GET", "/api/v1/queues/q/jobs?state=4", b"", {"queue": "q", "state": "JOB_STATE_DEAD"}),
        (OURS, "GET", "/api/v1/queues/q/history?span=90.5s", b"", {"queue": "q", "span": "90.500s"}),
        (
            OURS,
            "GET",
            "/api/v1/queues/q/dead?filter.all=true&filter.errorType=E&filter.died_after=2026-01-01T00:00:00Z",
            b"",
            {"queue": "q", "filter": {"all": True, "errorType": "E", "diedAfter": "2026-01-01T00:00:00Z"}},
        ),
        (OURS, "PATCH", "/api/v1/queues/q", b'{"rate":2}', {"queue": "q", "settings": {"rate": 2.0}}),
        (OURS, "PATCH", "/api/v1/queues/q", b"{}", {"queue": "q", "settings": {}}),
        (OURS, "POST", "/api/v1/queues/q:pause", b"", {"queue": "q"}),
        (OURS, "POST", "/api/v1/queues/q:pause", b'{"queue":"q"}', {"queue": "q"}),
        (
            OURS,
            "POST",
            "/api/v1/queues/q/jobs",
            b'{"job":{"type":"t","payload_json":[1.5,null,"\\u00e4"],"headers":{"a":"b"},"priority":"-3"}}',
            {
                "queue": "q",
                "job": {
                    "type": "t",
                    "payload": "WzEuNSxudWxsLCLDpCJd",
                    "contentType": "application/json",
                    "headers": {"a": "b"},
                    "priority": -3,
                },
            },
        ),
        (
            OURS,
            "POST",
            "/api/v1/queues/q/jobs",
            b'{"job":{"payloadJson":null,"contentType":"application/vnd.x+json","payload":null,"retry":{"maxAttempts":2e0}}}',
            {
                "queue": "q",
                "job": {"payload": "bnVsbA==", "contentType": "application/vnd.x+json", "retry": {"maxAttempts": 2}},
            },
        ),
        (
            OURS,
            "POST",
            "/api/v1/queues/q/jobs",
            b'{"job":{"payload":"_-8"}}',
            {"queue": "q", "job": {"payload": "/+8="}},
        ),
        (MADE, "GET", "/m/a/b?inner.size=7&inner.tagNames=x&inner.tag_names=y&on=false", b"", {
            "name": "a/b",
            "inner": {"size": "7", "tagNames": ["x", "y"]},
        }),
        (MADE, "PUT", "/m/n/inner?on=true", b'{"size":"8"}', {"name": "n", "inner": {"size": "8"}, "on": True}),
        (MADE, "POST", "/m/9:do", b'{"many":[{"size":1},{}]}', {"inner": {"size": "9"}, "many": [{"size": "1"}, {}]}),
        (MADE, "DELETE", "/m", b"", {}),
    ],
)  # fmt: skip
def test_a_request_is_made_of_path_query_and_body(
    routes: Routes, verb: str, target: str, body: bytes, request_: dict[str, Any]
) -> None:
    assert bound(routes, verb, target, body) == request_


JOBS = "/api/v1/queues/q/jobs"


@pytest.mark.parametrize(
    ("verb", "target", "body", "field", "text"),
    [
        ("GET", "/api/v1/stats?x=1", b"", "x", "is not a field of StatsRequest"),
        ("GET", "/api/v1/stats?queue=a&queue=b", b"", "queue", "is given twice"),
        ("GET", "/api/v1/stats?queue.x=a", b"", "queue.x", "is not a field"),
        ("GET", "/api/v1/stats?queue=%ff", b"", "query", "UTF-8"),
        ("GET", "/api/v1/stats?" + "queue=&" * 101, b"", "query", "more than 100"),
        ("GET", "/api/v1/stats", b"{}", "body", "must be empty"),
        ("GET", f"{JOBS}?queue=q", b"", "queue", "is given by the path"),
        ("GET", f"{JOBS}?state=DEAD", b"", "state", "one of JOB_STATE_UNSPECIFIED, JOB_STATE_READY"),
        ("GET", f"{JOBS}?page_size=many", b"", "page_size", "whole number"),
        ("GET", f"{JOBS}?page_size=1&pageSize=2", b"", "pageSize", "is given twice"),
        ("GET", "/api/v1/queues/q/dead?filter=x", b"", "filter", "cannot be given in the query"),
        ("GET", "/api/v1/queues/q/dead?filter.all=yes", b"", "filter.all", "true or false"),
        ("GET", "/api/v1/queues/q/dead?filter.diedAfter=now", b"", "filter.died_after", "RFC 3339"),
        ("GET", "/api/v1/queues/q/dead?filter.diedAfter.seconds=1", b"", "filter.diedAfter.seconds", "not a field"),
        ("GET", "/api/v1/queues/q/history?span=1m", b"", "span", "duration in seconds"),
        ("PATCH", "/api/v1/queues/q?settings.rate=1", b"{}", "settings.rate", "belongs in the body"),
        ("POST", f"{JOBS}?job.type=t", b"{}", "job.type", "belongs in the body"),
        ("POST", JOBS, b"[]", "body", "must be an object, is an array"),
        ("POST", "/api/v1/queues/q:pause", b"null", "body", "must be an object, is null"),
        ("POST", JOBS, b'{"queue":"other"}', "queue", "'q' in the path and something else in the body"),
        ("POST", JOBS, b'{"queue":["q"]}', "queue", "something else in the body"),
        ("POST", JOBS, b'{"jobs":[]}', "jobs", "is not a field of EnqueueRequest: it has queue, job"),
        ("POST", JOBS, b'{"job":[]}', "job", "must be an object, is an array"),
        ("POST", JOBS, b'{"job":{"type":1}}', "job.type", "must be a string, is 1"),
        ("POST", JOBS, b'{"job":{"max_runtime":1}}', "job.max_runtime", "duration"),
        ("POST", JOBS, b'{"job":{"maxRuntime":"1s","max_runtime":"1s"}}', "job.max_runtime", "is given twice"),
        ("POST", JOBS, b'{"job":{"delay":"1s","runAt":"2026-01-01T00:00:00Z"}}', "job.run_at", "together with delay"),
        ("POST", JOBS, b'{"job":{"payload":"%%%%"}}', "job.payload", "base64"),
        ("POST", JOBS, b'{"job":{"payload":"a"}}', "job.payload", "base64"),
        ("POST", JOBS, b'{"job":{"payload":"","payloadJson":1}}', "job.payloadJson", "together with payload"),
        ("POST", JOBS, b'{"job":{"payload_json":1,"payloadJson":1}}', "job.payloadJson", "together with"),
        ("POST", JOBS, b'{"job":{"payloadJson":1,"contentType":"text/plain"}}', "job.payloadJson", "content type"),
        ("POST", JOBS, b'{"job":{"priority":2147483648}}', "job.priority", "from -2147483648 to 2147483647"),
        ("POST", JOBS, b'{"job":{"priority":1.5}}', "job.priority", "whole number"),
        ("POST", JOBS, b'{"job":{"priority":true}}', "job.priority", "whole number"),
        ("POST", JOBS, b'{"job":{"priority":"1e1"}}', "job.priority", "whole number"),
        ("POST", JOBS, b'{"job":{"headers":[]}}', "job.headers", "must be an object"),
        ("POST", JOBS, b'{"job":{"headers":{"a":1}}}', 'job.headers["a"]', "must be a string"),
        ("POST", JOBS, b'{"job":{"headers":{"a":null}}}', 'job.headers["a"]', "must be a string, is null"),
        ("POST", JOBS, b'{"job":{"retry":{"multiplier":"NaN"}}}', "job.retry.multiplier", "must be a number"),
        ("POST", JOBS, b'{"job":{"retry":{"multiplier":"1e999"}}}', "job.retry.multiplier", "double holds"),
        ("POST", f"{JOBS}:batch", b'{"jobs":[{},{"type":0}]}', "jobs[1].type", "must be a string"),
        ("POST", f"{JOBS}:batch", b'{"jobs":[null]}', "jobs[0]", "must be an object, is null"),
        ("POST", f"{JOBS}:batch", b'{"jobs":{}}', "jobs", "must be an array, is an object"),
        ("POST", f"{JOBS}:cancel", b'{"ids":{"ids":["x",null]}}', "ids.ids[1]", "must be a string, is null"),
        ("POST", "/api/v1/leases:nack", b'{"jobs":[{"kind":9}]}', "jobs[0].kind", "one of NACK_KIND"),
        ("POST", "/api/v1/leases:nack", b'{"jobs":[{"kind":true}]}', "jobs[0].kind", "one of NACK_KIND"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field(verb: str, target: str, body: bytes, field: str, text: str) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        bound(OURS, verb, target, body)
    found = dict(refused.value.violations)
    assert field in found, found
    assert text in found[field]


@pytest.mark.parametrize(
    ("routes", "verb", "target", "body", "field", "text"),
    [
        (OURS, "POST", f"{JOBS}:batch", {"jobs": [{}] * 501}, "jobs", "500 entries, has 501"),
        (OURS, "POST", JOBS, {"job": {"headers": HEADERS}}, "job.headers", "32 entries, has 33"),
        (
            OURS, "POST", f"{JOBS}:batch", {"jobs": [{}, {"headers": HEADERS}]},
            "jobs[1].headers", "32 entries, has 33",
        ),
        (OURS, "POST", f"{JOBS}:cancel", {"ids": {"ids": [""] * 10_001}}, "ids.ids", "10000 entries, has 10001"),
        (OURS, "POST", "/api/v1/leases:ack", {"leases": [None] * 501}, "leases", "500 entries, has 501"),
        (OURS, "POST", "/api/v1/leases:ack", {"leases": [{"jobIds": [0] * 501}]}, "leases[0].job_ids", "has 501"),
        (MADE, "GET", "/m/n?" + "&".join(["inner.tagNames=x"] * 4), None, "inner.tag_names", "3 entries, has 4"),
        (MADE, "PUT", "/m/n/inner", {"tagNames": ["x"] * 4}, "inner.tag_names", "3 entries, has 4"),
        (MADE, "POST", "/m/9:do", {"many": [{}, {"tagNames": ["x"] * 4}]}, "many[1].tag_names", "3 entries, has 4"),
    ],
)  # fmt: skip
def test_a_list_over_its_bound_is_refused_whole(
    routes: Routes, verb: str, target: str, body: Any, field: str, text: str
) -> None:
    """None of its entries is looked at: one violation, whatever is in them."""
    with pytest.raises(errors.InvalidField) as refused:
        bound(routes, verb, target, b"" if body is None else json.dumps(body).encode())
    ((named, wrong),) = refused.value.violations
    assert named == field
    assert text in wrong


def test_the_largest_requests_are_within_their_json_limits() -> None:
    """As JSON for people, indented, with each field as long as it may be."""
    group = {"queue": "q" * 128, "leaseToken": "A" * 24, "jobIds": [ID]}
    window = {"sessionId": "s" * 64, "received": 2**60, "inFlight": 9, "seq": 2**60, "stream": 2**30}
    progress = {"jobId": ID, "fraction": 0.123456789, "note": "\u00e4" * 100}
    for target, body in (
        ("/api/v1/leases:ack", {"leases": [group] * 500, "window": window}),
        ("/api/v1/leases:extend", {"leases": [group] * 500, "progress": [progress] * 500, "window": window}),
        ("/api/v1/claims", {"queues": [{"queue": "q", "weight": 1}] * 32, "leases": [group] * 10_000}),
        ("/api/v1/queues/q/jobs:cancel", {"ids": {"ids": [ID] * 10_000}}),
        ("/api/v1/queues/q/dead:purge", {"filter": {"type": "t", "errorType": "e", "all": True}}),
    ):
        method = OURS.find("POST", target).route.method
        raw = json.dumps(body, indent=4).encode()
        assert len(raw) <= method.json_bytes_max, target
        assert method.json_values_max is not None
        assert read_json(raw, JsonLimits(values=method.json_values_max)) == body, target


def test_payloads_may_have_as_many_values_as_the_option_says() -> None:
    for target in (JOBS, f"{JOBS}:batch"):
        assert OURS.find("POST", target).route.method.json_values_max is None


def test_all_problems_are_named_up_to_twenty() -> None:
    with pytest.raises(errors.InvalidField) as refused:
        bound(OURS, "POST", f"{JOBS}:batch", b'{"jobs":[' + b",".join([b'{"type":1}'] * 100) + b"]}")
    assert [field for field, _ in refused.value.violations] == [f"jobs[{i}].type" for i in range(20)]


def test_where_the_idempotency_key_goes() -> None:
    job = bound(OURS, "POST", JOBS, b'{"job":{"type":"t"}}', key="k")["job"]
    assert job["idempotencyKey"] == "k"
    same = b'{"job":{"type":"t","idempotencyKey":"k"}}'
    assert bound(OURS, "POST", JOBS, same, key="k")["job"]["idempotencyKey"] == "k"
    assert bound(OURS, "POST", f"{JOBS}:batch", b'{"jobs":[]}', key="k") == {"queue": "q", "requestId": "k"}
    assert bound(OURS, "POST", "/api/v1/queues/q:pause", b"", key="k") == {"queue": "q"}
    with pytest.raises(errors.InvalidField, match=r"job\.idempotency_key: is another one"):
        bound(OURS, "POST", JOBS, b'{"job":{"idempotency_key":["x"]}}', key="k")


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([{"get": "/m/{nothing}"}], "{nothing} is no single value"),
        ([{"get": "/m/{name.x}"}], "{name.x} is no field"),
        ([{"get": "/m/{inner}"}], "{inner} is no single value"),
        ([{"get": "/m/{many.size}"}], "{many.size} is no field"),
        ([{"post": "/m", "body": "nothing"}], "has no field nothing"),
        ([{"get": "/m", "response_body": "nothing"}], "has no field nothing"),
        ([{"get": "/m"}, {"get": "/m"}], "have the same route"),
        ([{"body": "*"}], "has no path"),
    ],
)
def test_options_that_cannot_be_served_stop_the_start(rules: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(BadRoute, match=text.replace("{", r"\{").replace(".", r"\.")):
        made_routes(*rules)


def test_a_verb_of_a_path_is_no_part_of_a_name() -> None:
    assert OURS.find("POST", "/api/v1/queues/q:pause").variables == {"queue": "q"}
    with pytest.raises(Refused) as refused:
        OURS.find("PATCH", "/api/v1/queues/q:pause")
    assert refused.value.headers == {"allow": "POST"}
    assert OURS.find("PATCH", "/api/v1/queues/q:other").variables == {"queue": "q:other"}


def test_custom_verbs_and_what_is_allowed() -> None:
    routes = made_routes({"custom": {"kind": "PURGE", "path": "/m/{name}"}}, {"get": "/m/{name}"})
    assert routes.find("PURGE", "/m/x").route.verb == "PURGE"
    assert routes.find("HEAD", "/m/x").route.verb == "GET"
    with pytest.raises(Refused) as refused:
        routes.find("PUT", "/m/x")
    assert (refused.value.http, refused.value.headers) == (405, {"allow": "GET, HEAD, PURGE"})
