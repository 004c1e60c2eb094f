"""The curl lines of docs/http.md, run as they stand, and its tables against the code."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from relay_server.config import Config
from relay_server.contract.services import SERVICES
from relay_server.gateway.transcoding.routes import Routes
from tests.integration.conftest import Start
from tests.support.http import opened

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
LINES = re.findall(r"^curl .*$", PAGE, re.MULTILINE)


async def test_every_line_of_the_page_runs(another: Start) -> None:
    relay = await another(http="127.0.0.1:0")
    known = {"B": f"http://127.0.0.1:{relay.http_port}"}
    called = set[tuple[str, str]]()
    for line in LINES:
        words = shlex.split(re.sub(r"\$([A-Z]+)", lambda name: known[name[1]], line))
        if "jobs/$JOB:run" in line:  # an operator's: the job of the example is ready, not delayed
            words = [word.replace(known["JOB"], known["LATER"]) for word in words]
        code, answers = await curl(words)
        assert code == 200, (line, answers)
        learn(known, line, answers)
        url = next(word for word in words if word.startswith(known["B"]))
        called.add((verb_of(words), url.removeprefix(known["B"]).partition("?")[0]))
    assert known["FRAMES"] == "started jobs"
    routes = Routes(SERVICES)
    found = {routes.find(verb, path).route for verb, path in called if path.startswith("/api/")}
    assert found == set(routes.all), "a route has no line"


def verb_of(words: list[str]) -> str:
    return words[words.index("-X") + 1] if "-X" in words else "POST" if "--json" in words else "GET"


def learn(known: dict[str, str], line: str, answers: list[Any]) -> None:
    """What later lines need of an answer."""
    if "/jobs --json" in line:
        known["JOB"] = answers[0]["jobId"]
    elif "jobs:batch" in line:
        known["LATER"] = answers[0]["results"][1]["jobId"]
    elif "/claims" in line:
        known["FRAMES"] = " ".join(next(iter(answer)) for answer in answers)
        known["TOKEN"] = answers[1]["jobs"]["leaseToken"]
        known["JOB"] = answers[1]["jobs"]["jobs"][0]["job"]["id"]


async def curl(words: list[str]) -> tuple[int, list[Any]]:
    """What curl does with these words: the HTTP code and the JSON objects of an answer, of an endless one (-N) two."""
    _, flags, url, *options = words if words[1] in {"-s", "-sN"} else ["", "", "", ""]
    if url == "-X":
        url, options = options[1], [url, options[0], *options[2:]]
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert set(given) <= {"-X", "-H", "--json"}, f"this test does not know all of {given}"
    headers = dict([given["-H"].split(": ")]) if "-H" in given else {}
    if "--json" in given:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    place, _, path = url.removeprefix("http://").partition("/")
    verb, body = verb_of(words), given.get("--json", "").encode()
    objects = list[Any]()
    port = int(place.rpartition(":")[2])
    async with opened(port, verb, f"/{path}", body=body, headers=headers) as answer:
        if flags == "-sN":
            while len(objects) < 2:
                line = (await answer.line()).removeprefix("data: ")
                objects += [json.loads(line)] if line.startswith("{") else []
        else:
            lines = (await answer.rest()).decode().splitlines()
            objects += [json.loads(line) for line in lines if line.startswith("{")]
        return answer.status, objects


def test_the_limits_of_the_page_are_the_defaults() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([\d ]+) \| `--([a-z-]+)` \|$", PAGE, re.MULTILINE)
    stated = {option.replace("-", "_"): float(value.replace(" ", "")) for value, option in rows}
    assert stated == {name: Config.model_fields[name].default for name in stated}
    assert {name for name in Config.model_fields if re.match("http_.*(max|_s)$", name)} == set(stated)
