"""Which paths a template of google.api.http matches, and what it takes from them."""

import pytest

from relay_server.gateway.transcoding.templates import BadPath, BadTemplate, parse_template


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/v1/stats", "/v1/stats", {}),
        ("/v1/stats", "/v1/stats/", None),
        ("/v1/stats", "/v1/STATS", None),
        ("/v1/stats:watch", "/v1/stats:watch", {}),
        ("/v1/stats:watch", "/v1/stats", None),
        ("/v1/queues/{queue}", "/v1/queues/a.b-c_1", {"queue": "a.b-c_1"}),
        ("/v1/queues/{queue}", "/v1/queues/a%2Fb", {"queue": "a/b"}),
        ("/v1/queues/{queue}", "/v1/queues/a%20b", {"queue": "a b"}),
        ("/v1/queues/{queue}", "/v1/queues/a+b", {"queue": "a+b"}),
        ("/v1/queues/{queue}", "/v1/queues/%C3%A4", {"queue": "ä"}),
        ("/v1/queues/{queue}", "/v1/queues/", None),
        ("/v1/queues/{queue}", "/v1/queues/a/b", None),
        ("/v1/queues/{queue}:pause", "/v1/queues/a:pause", {"queue": "a"}),
        ("/v1/queues/{queue}:pause", "/v1/queues/a%3Apause", None),
        ("/v1/queues/{queue}:pause", "/v1/queues/a:b:pause", {"queue": "a:b"}),
        ("/v1/queues/{queue}/jobs/{job_id}:run", "/v1/queues/q/jobs/1:run", {"queue": "q", "job_id": "1"}),
        ("/v1/{a.b}", "/v1/x", {"a.b": "x"}),
        ("/v1/*/x", "/v1/any/x", {}),
        ("/v1/{name=*}", "/v1/x", {"name": "x"}),
        ("/v1/{name=queues/*}", "/v1/queues/x", {"name": "queues/x"}),
        ("/v1/{name=queues/*}", "/v1/other/x", None),
        ("/v1/{name=queues/*/jobs/*}:run", "/v1/queues/q/jobs/1:run", {"name": "queues/q/jobs/1"}),
        ("/v1/{rest=**}", "/v1/a/b%2Fc/d%20e", {"rest": "a/b%2Fc/d e"}),
        ("/v1/{rest=**}", "/v1/", {"rest": ""}),
        ("/v1/{rest=**}:do", "/v1/a/b:do", {"rest": "a/b"}),
        ("/v1/a.b", "/v1/axb", None),
    ],
)
def test_matching(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize("path", ["/v1/%zz", "/v1/%", "/v1/%ff", "/v1/%ed%a0%80"])
def test_a_path_that_cannot_be_decoded(path: str) -> None:
    with pytest.raises(BadPath, match="%"):
        parse_template("/v1/{name}").match(path)


@pytest.mark.parametrize(
    ("template", "at"),
    [
        ("v1", 1),
        ("/", 2),
        ("/v1//x", 5),
        ("/v1/{}", 6),
        ("/v1/{a", 7),
        ("/v1/{a}{b}", 8),
        ("/v1/{a}/{a}", 11),
        ("/v1/**/x", 8),
        ("/v1/{a=**}/x", 12),
        ("/v1/{a={b}}", 8),
        ("/v1:", 5),
        ("/v1:x/y", 6),
        ("/v1/{A}", 6),
    ],
)
def test_malformed_templates_are_refused(template: str, at: int) -> None:
    with pytest.raises(BadTemplate, match=rf"expected .* at character {at}$"):
        parse_template(template)


def test_the_more_exact_template_comes_first() -> None:
    texts = ["/v1/{a=**}", "/v1/{a}", "/v1/{a}:do", "/v1/x"]
    ranked = sorted(map(parse_template, texts), key=lambda template: template.rank)
    assert [template.text for template in ranked] == ["/v1/x", "/v1/{a}:do", "/v1/{a}", "/v1/{a=**}"]
