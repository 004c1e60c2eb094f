"""Requests that schemathesis makes of our own OpenAPI document: only documented answers, and never a defect.

It runs as a program: its pytest plugin is off (it would load with every test run), and a crash of it is told apart.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from tests.integration.conftest import Start
from tests.support.http import request
from tests.support.relay import spec

PROGRAM = Path(sys.executable).with_name("schemathesis")
SECONDS = 15
QUEUES = ["emails", "orders", "none", "a b"]


async def test_only_documented_answers(another: Start, tmp_path: Path) -> None:
    relay = await another(http="127.0.0.1:0")
    port = relay.http_port
    for queue in QUEUES[:2]:
        await relay.enqueue(queue, *[spec() for _ in range(5)])
    document, report = tmp_path / "openapi.json", tmp_path / "report.json"
    document.write_text(json.dumps(aimed((await request(port, "GET", "/openapi.json")).json)))
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "run", document, "--url", f"http://127.0.0.1:{port}", "--max-time", str(SECONDS)),
        # Streams would not end by themselves; other calls are done sooner.
        *("-H", "X-Relay-Timeout: 0.2s", "--request-timeout", "30"),
        # Ranges and states are the server's own: the contract's comments name them, its schema does not. The mapping
        # of proto3 reads more than a schema says (null, numbers in strings). 503 and 504 are documented.
        *("--exclude-checks", "positive_data_acceptance,negative_data_rejection,not_a_server_error"),
        *(
            "--seed",
            str(random.randrange(1 << 31)),
            "--continue-on-failure",
            "--no-shrink",
            "--warnings",
            "off",
        ),
        *("--report", "json", "--report-json-path", report),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, output.decode()
    found = json.loads(report.read_text())
    assert found["test_cases"]["generated"] > 25, "less than two requests for most operations"
    assert found["operations"]["tested"] == found["operations"]["total"] == 25
    metrics = (await request(port, "GET", "/metrics")).body.decode()
    assert 'code="INTERNAL"' not in metrics
    assert 'code="OK",method="/relay.v1.QueueService/' in metrics
    assert (await request(port, "GET", "/readyz")).status == 200


def aimed(document: Any) -> Any:
    """The document, with queues that exist, one that does not and one that cannot, and without a 500 for defects."""
    for path in document["paths"].values():
        for operation in path.values():
            del operation["responses"]["500"]
            for parameter in operation["parameters"]:
                if parameter.get("name") == "queue" and parameter["in"] == "path":
                    parameter["schema"]["enum"] = QUEUES
    return document
