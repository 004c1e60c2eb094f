"""Server, worker and command line with the variables of the Helm chart: TLS, certificates and tokens at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.deployments.test_helm import WAYS, render, variables
from tests.support.cli import Ended, finish, start_relay
from tests.support.relay import eventually

PROGRAMS = {
    name: f"from {name.replace('-', '_')}.cli import main; main()"
    for name in ("relay-server", "relay-worker")
}


async def test_what_the_chart_says_works(tmp_path: Path) -> None:
    objects = render(WAYS["client certificates"])
    make_secrets(tmp_path)
    made = finish(
        start_relay(
            "token",
            "new",
            "w",
            "--worker",
            "*",
            "--producer",
            "*",
            "--viewer",
            "*",
            "--file",
            tokens(tmp_path),
        )
    )
    assert made.code == 0, made.err
    server = mounted(variables(objects, "prod-relay"), tmp_path)
    server |= {
        "RELAY_LISTEN": "127.0.0.1:0",
        "RELAY_HTTP": "127.0.0.1:0",
        "RELAY_DATA_DIR": str(tmp_path / "data"),
    }
    with program("relay-server", [], server, tmp_path) as log:
        ready = await eventually(
            lambda: line_with(log, "relay-server ready"), within=30, what="the ready line"
        )
        address = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        check_health(server | {"RELAY_HTTP": address["http"]})
        client = mounted(variables(objects, "prod-relay-emails"), tmp_path)
        client |= {
            "RELAY_SERVER": f"localhost:{address['grpc'].rpartition(':')[2]}",
            "RELAY_TOKEN": made.out.split()[-1],
            "RELAY_WORKER_METRICS": "",
        }
        with program("relay-worker", ["relay_worker.demo:jobs", "--queue=emails"], client, tmp_path) as log:
            assert relay(client, "enqueue", "emails", "demo.ok", '{"ms": 1}').code == 0
            await eventually(lambda: drained(client), within=30, what="the job's end")
        anonymous = {name: value for name, value in client.items() if name != "RELAY_TOKEN"}
        refused = relay(anonymous, "queues")
        assert (refused.code, "RELAY_TOKEN" in refused.err) == (1, True), refused.err


def tokens(folder: Path) -> str:
    return str(folder / "auth" / "tokens.toml")


def make_secrets(folder: Path) -> None:
    """What the chart's Secrets hold, where it mounts them."""
    authority = trustme.CA()
    for name, host in (("tls", "localhost"), ("client", "worker.example"), ("auth", "")):
        (folder / name).mkdir()
        if host:
            made = authority.issue_cert(host)
            (folder / name / "tls.crt").write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
            made.private_key_pem.write_to_path(folder / name / "tls.key")
    authority.cert_pem.write_to_path(folder / "tls" / "ca.crt")


def mounted(container: dict[str, Any], folder: Path) -> dict[str, str]:
    """A container's variables, with the places of its mounts here. What comes out of Secrets is left out."""
    plain = {name: value for name, value in container.items() if isinstance(value, str)}
    return {name: value.replace("/etc/relay", str(folder)) for name, value in plain.items()}


@contextmanager
def program(name: str, arguments: list[str], own: dict[str, str], folder: Path) -> Iterator[Path]:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAMS[name], *arguments],
            env=clean() | own,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(30)


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}


def line_with(log: Path, text: str) -> str:
    return next((line for line in log.read_text().splitlines() if text in line), "")


def check_health(server: dict[str, str]) -> None:
    """The chart's probe: it shows the server's own certificate, without which nobody is answered."""
    assert healthcheck(server).returncode == 0, healthcheck(server).stderr
    without = {name: value for name, value in server.items() if name != "RELAY_TLS_KEY"}
    assert healthcheck(without).returncode == 1


def healthcheck(own: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAMS["relay-server"], "healthcheck"],
        env=clean() | own,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def relay(client: dict[str, str], *arguments: str) -> Ended:
    return finish(start_relay(*arguments, **client))


def drained(client: dict[str, str]) -> bool:
    """Whether the queue's only job was acknowledged."""
    (queue,) = relay(client, "--output", "json", "queues").value["queues"]
    return int(queue["stats"].get("counters", {}).get("acked", 0)) == 1
