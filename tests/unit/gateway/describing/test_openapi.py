"""The OpenAPI document: that of the committed contract, whole, and true to what is served."""

import json
import re
from pathlib import Path
from typing import Any

from relay_server import __version__
from relay_server.contract.services import SERVICES
from relay_server.gateway.describing.openapi import openapi
from relay_server.gateway.transcoding.routes import Routes

ROOT = Path(__file__).parents[4]
ROUTES = Routes(SERVICES)
DOCUMENT = openapi(ROUTES, version=__version__)


def test_the_committed_snapshot_is_what_is_served() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
    assert committed == DOCUMENT, "docs/openapi.json is out of date: run `make gen`, commit the result"


def test_every_route_is_there_and_nothing_else() -> None:
    described = {
        (verb.upper(), path) for path, operations in DOCUMENT["paths"].items() for verb in operations
    }
    assert described == {(route.verb, route.template.text) for route in ROUTES.all}
    names = [operation["operationId"] for operation in _operations()]
    assert len(set(names)) == len(names) == 25


def test_everything_has_words() -> None:
    assert not [
        name for name, schema in DOCUMENT["components"]["schemas"].items() if not schema["description"]
    ]
    for operation in _operations():
        assert operation["summary"], operation["operationId"]
        assert all(one.get("description") or "$ref" in one for one in operation["parameters"])


def test_every_reference_leads_somewhere() -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        here: Any = DOCUMENT
        for step in reference.split("/"):
            here = here[step]


def test_a_field_of_the_path_is_not_in_the_body() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["EnqueueRequestBody"]["properties"]) == {"job"}
    assert "payloadJson" in schemas["JobSpec"]["properties"]
    assert "payloadJson" in schemas["Job"]["properties"]
    assert "payloadJson" not in schemas["JobSummary"]["properties"]


def _operations() -> list[dict[str, Any]]:
    return [one for operations in DOCUMENT["paths"].values() for one in operations.values()]
