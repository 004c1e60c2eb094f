"""Global options, wrong usage, unreachable servers: what is refused, with which words and exit code."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay_cli.main import hoist
from tests.support.cli import Relay
from tests.unit.cli.scripts import Script


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["queues"], ["queues"]),
        (["queues", "--server", "a:1"], ["--server", "a:1", "queues"]),
        (["queues", "--server=a:1", "--prefix", "x"], ["--server=a:1", "queues", "--prefix", "x"]),
        (["--output", "json", "top", "--once"], ["--output", "json", "top", "--once"]),
        (["workers", "--tls", "--token", "t"], ["--tls", "--token", "t", "workers"]),
        (["enqueue", "q", "t", "--", "--server"], ["enqueue", "q", "t", "--", "--server"]),
        (["top", "--server"], ["--server"]),
        ([], []),
    ],
)
def test_options_of_the_program_may_follow_the_command(given: list[str], wanted: list[str]) -> None:
    assert hoist(given) == wanted


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "No such command 'nope'"),
        (["queue"], "Did you mean 'queues'"),
        (["top", "--server"], "'--server' requires an argument"),
        (["--output", "xml", "queues"], "'xml' is not one of"),
        (["queues", "--server", "a/b"], "--server: 'a/b' is not a target"),
        (["queues", "--server", "host:99999"], "a port is a number from 1 to 65535"),
        (["queues", "--token", "t", "--server", "example.com:1"], "--token: would be sent in the clear"),
        (["enqueue", "q"], "TYPE: say what the job is"),
        (["enqueue", "q", "t", "{bad"], "PAYLOAD is not JSON"),
        (["enqueue", "q", "t", "@/no/such/file"], "cannot read /no/such/file: No such file"),
        (["enqueue", "q", "t", "--header", "x"], "--header: 'x' is not NAME=VALUE"),
        (["enqueue", "q", "t", "--run-at", "soon"], "--run-at: 'soon' is not a time"),
        (["enqueue", "q", "t", "--delay", "soon"], "delay: 'soon' is not a length of time"),
        (["enqueue", "q", "t", "--delay", "-5"], "delay"),
        (["enqueue", "q", "t", "--delay", "1s", "--run-at", "2030-01-01T00:00:00Z"], "give one of them"),
        (["enqueue", "q", "t", "--key-window", "1h"], "has no effect without"),
        (["enqueue", "q", "t", "--count", "0"], "'--count'"),
        (["enqueue", "q", "t", "--count", "2", "--key", "k"], "--key: with --count only one job"),
        (["enqueue", "q", "t", "--count", "2", "--id", "x"], "--id: names one job"),
        (["enqueue", "q", "t", "1", "--ndjson"], "--ndjson: the payloads come from stdin"),
        (["limit", "q", "--off", "--rate", "3"], "--off removes the rate limit"),
        (["limit", "q", "--rate", "0"], "--rate: must be above 0"),
        (["limit", "q", "--rate", "nan"], "--rate: must be above 0"),
        (["jobs", "list", "q", "--state", "lost"], "'lost' is not one of"),
        (["jobs", "cancel", "q"], "say which"),
        (["jobs", "cancel", "q", "--state", "dead"], "relay dead purge"),
        (["jobs", "cancel", "q", "some-id", "--all"], "not both"),
        (["dead", "requeue", "q"], "say which"),
        (["dead", "purge", "q", "some-id", "--type", "t"], "not both"),
        (["dead", "requeue", "q", "--since", "yesterday"], "--since: 'yesterday' is not a length of time"),
        (["demo", "--jobs", "0"], "'--jobs'"),
        (["demo", "--fail-rate", "1.5"], "'--fail-rate'"),
        (["bench", "--streams", "0"], "'--streams'"),
    ],
)
def test_wrong_usage_is_code_2_and_names_the_argument(relay: Relay, arguments: list[str], says: str) -> None:
    ended = relay(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


@pytest.mark.parametrize(
    "arguments",
    [["queues"], ["enqueue", "q", "t"], ["top", "--once"], ["doctor"], ["bench"], ["dead", "list", "q"]],
)
def test_no_server_is_code_3_and_says_how_to_start_one(relay: Relay, arguments: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        ended = relay(*arguments, "--server", address)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.count("\n") == 1
    for part in (
        f"no Relay server answers at {address} (Connection refused)",
        "relay-server",
        "relay demo",
        "--server",
    ):
        assert part in ended.err


def test_server_from_the_environment_and_the_option_wins(
    relay: Relay, script: Script, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers["ListWorkers"] = lambda _: admin_pb.ListWorkersResponse()
    monkeypatch.setenv("RELAY_SERVER", server)
    assert relay("workers").code == 0
    monkeypatch.setenv("RELAY_SERVER", "127.0.0.1:1")
    assert relay("workers", "--server", server).code == 0


def test_version_and_help_and_completion(relay: Relay) -> None:
    assert relay("--version").out == "relay 0.1.0\n"
    text = relay("--help").out
    for word in ("enqueue", "purge-queue", "Exit codes", "RELAY_SERVER", "--install-completion"):
        assert word in text
    script = subprocess.run(
        [sys.executable, "-m", "relay_cli.main"],
        env={"_RELAY_COMPLETE": "complete_bash", "COMP_WORDS": "relay que", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.stdout.split() == ["queues"]


def test_help_loads_neither_grpc_nor_the_server() -> None:
    code = (
        "import sys; sys.argv = ['relay', '--help']\n"
        "from relay_cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'grpc', 'google', 'redis', 'relay_server', 'relay_worker', 'relay_client', 'asyncio'}), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert ended.stderr == "[]\n"
