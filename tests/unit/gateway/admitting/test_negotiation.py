"""The headers by which a request chooses: types of body and answer, time limit, idempotency key."""

import pytest

from relay_server.gateway.admitting import negotiation
from relay_server.gateway.admitting.refusals import Refused

STREAMS = (negotiation.NDJSON, negotiation.SSE)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", negotiation.NDJSON),
        ("*/*", negotiation.NDJSON),
        ("text/event-stream", negotiation.SSE),
        ("text/*", negotiation.SSE),
        ("application/x-ndjson;q=0.5, text/event-stream", negotiation.SSE),
        ("text/event-stream;q=0.5, */*;q=0.1", negotiation.SSE),
        ("text/event-stream;q=0, */*", negotiation.NDJSON),
        ("TEXT/EVENT-STREAM", negotiation.SSE),
        ("text/html, , application/*;q=0.1", negotiation.NDJSON),
    ],
)
def test_the_form_of_a_stream(accept: str, media: str) -> None:
    assert negotiation.chosen(accept, STREAMS) == media


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", "application/json", "text/event-stream;q=x"])
def test_nothing_that_is_accepted(accept: str) -> None:
    with pytest.raises(Refused) as refused:
        negotiation.chosen(accept, STREAMS)
    assert refused.value.http == 406


@pytest.mark.parametrize(
    ("grpc", "relay", "seconds"),
    [
        (None, None, None),
        ("10S", None, 10),
        ("250m", None, 0.25),
        ("2M", None, 120),
        ("1H", None, 3600),
        ("5000u", None, 0.005),
        ("99999999n", None, 0.099999999),
        ("99999999H", None, 365 * 24 * 3600),
        (None, "2.5s", 2.5),
        (None, "3s", 3),
    ],
)
def test_the_time_a_call_may_take(grpc: str | None, relay: str | None, seconds: float | None) -> None:
    assert negotiation.timeout_s(grpc, relay) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("grpc", "relay"),
    [
        ("10", None),
        ("123456789S", None),
        ("1s", None),
        ("0S", None),
        (None, "2"),
        (None, "-1s"),
        (None, "0s"),
        ("1S", "1s"),
    ],
)
def test_a_time_that_is_none(grpc: str | None, relay: str | None) -> None:
    with pytest.raises(Refused) as refused:
        negotiation.timeout_s(grpc, relay)
    assert refused.value.http == 400


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON ; charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_bodies_that_are_json(content_type: str) -> None:
    negotiation.check_body_type(content_type, "", empty=False)
    negotiation.check_body_type(None, "identity", empty=True)


@pytest.mark.parametrize(
    ("content_type", "encoding", "empty"),
    [
        (None, "", False),
        ("text/plain", "", True),
        ("application/jsonp", "", False),
        ("application/json; charset=latin-1", "", False),
        ("application/json", "gzip", False),
    ],
)
def test_bodies_that_are_not(content_type: str | None, encoding: str, empty: bool) -> None:
    with pytest.raises(Refused) as refused:
        negotiation.check_body_type(content_type, encoding, empty=empty)
    assert refused.value.http == 415


@pytest.mark.parametrize(("value", "key"), [(None, ""), ("a b", "a b"), ('"a"', "a"), ("x" * 256, "x" * 256)])
def test_an_idempotency_key(value: str | None, key: str) -> None:
    assert negotiation.idempotency_key(value) == key


@pytest.mark.parametrize("value", ["", '""', "ä", "x" * 259])
def test_a_key_that_is_none(value: str) -> None:
    with pytest.raises(Refused):
        negotiation.idempotency_key(value)
