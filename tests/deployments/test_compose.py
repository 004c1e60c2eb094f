"""compose.yaml as docker-compose itself reads it, and what it must hold for it to be safe on somebody's laptop."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main

from relay_cli.main import app
from relay_server.config import Config
from relay_worker.cli import load_jobs
from tests.deployments.judges import ROOT, judge

FILE = ROOT / "compose.yaml"


def config(file: Path, *options: str) -> Any:
    done = judge("docker-compose", "-f", file, *options, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def services() -> Any:
    return config(FILE, "--profile", "demo")["services"]


def test_the_services(services: Any) -> None:
    assert set(services) == {"redis", "server", "worker", "demo"}
    assert set(config(FILE)["services"]) == {"redis", "server", "worker"}, (
        "the demo starts only when asked for"
    )


def test_docker_compose_refuses_a_misspelt_key(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text(FILE.read_text().replace("read_only:", "readonly:"))
    done = judge("docker-compose", "-f", bad, "config", "-q")
    assert done.returncode != 0
    assert "readonly" in done.stderr


def test_ports_are_published_on_loopback_only(services: Any) -> None:
    published = [(name, port) for name, service in services.items() for port in service.get("ports", ())]
    assert {(name, port["published"]) for name, port in published} == {
        ("server", "50051"),
        ("server", "8080"),
    }
    assert all(port["host_ip"] == "127.0.0.1" for _, port in published)


def test_redis_is_for_the_server_alone_and_keeps_what_it_is_given(services: Any) -> None:
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert networks["redis"] == {"store"}
    assert [name for name, joined in networks.items() if "store" in joined] == ["redis", "server"]
    assert config(FILE)["networks"]["store"]["internal"] is True
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    (volume,) = services["redis"]["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", "/data")


def test_containers_can_do_little(services: Any) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_worker_can_be_scaled(services: Any) -> None:
    assert "container_name" not in services["worker"]
    assert "ports" not in services["worker"]


def test_the_server_takes_its_variables(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = services["server"]["environment"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = Config()  # type: ignore[call-arg] # taken by BaseSettings
    assert made.listen == "0.0.0.0:50051"
    known = {f"RELAY_{name.upper()}" for name in Config.model_fields}
    assert set(variables) <= known, "a misspelt variable would be passed over in silence"


def test_the_worker_and_the_demo_are_started_as_they_ask(services: Any) -> None:
    program, jobs, *options = services["worker"]["command"]
    assert program == "relay-worker"
    assert len(load_jobs(jobs)) > 0
    assert options == ["--queue", "demo"]
    relay, *words = services["demo"]["entrypoint"]
    assert relay == "relay"
    command = typer.main.get_command(app)
    # Parsed as far as the command, which is then not run: an option that does not exist raises.
    context = command.make_context("relay", [*words, "--jobs", "500"])
    assert context.params["server"] == "server:50051"
    assert [*context._protected_args, *context.args] == ["demo", "--exit", "--jobs", "500"]


def test_time_to_stop_is_longer_than_a_drain(services: Any) -> None:
    assert seconds(services["server"]["stop_grace_period"]) > Config.model_fields["drain_grace_s"].default
    assert seconds(services["worker"]["stop_grace_period"]) > 20


def seconds(text: str) -> float:
    assert text.endswith("s"), text
    return float(text.removesuffix("s"))
