"""The systemd units, as systemd reads them; and that the server tells it when it serves."""

import configparser
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relay_server.cli import EXIT_STORE_DAMAGED, EXIT_USAGE
from relay_server.config import Config
from relay_server.repair import EXIT_DAMAGED
from tests.deployments.judges import ROOT
from tests.support.debian import debian_program
from tests.support.relay import eventually, server_program

FOLDER = ROOT / "deployments" / "systemd"
UNITS = ["relay-server.service", "relay-worker@.service"]


def verify(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            debian_program("systemd", "usr/bin/systemd-analyze"),
            "verify",
            "--man=no",
            "--recursive-errors=no",
            *(folder / name for name in UNITS),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def installed(folder: Path) -> None:
    """The units with the programs of this environment, which exist."""
    for name in UNITS:
        text = (FOLDER / name).read_text()
        (folder / name).write_text(text.replace("/opt/relay/bin", str(Path(sys.executable).parent)))


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    installed(tmp_path)
    done = verify(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_a_misspelt_option(tmp_path: Path) -> None:
    installed(tmp_path)
    unit = tmp_path / UNITS[0]
    unit.write_text(unit.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in verify(tmp_path).stderr


@pytest.mark.parametrize("name", UNITS)
def test_units_do_not_run_as_root(name: str) -> None:
    service = section(name)
    assert service["DynamicUser"] == "yes"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_time_to_stop_is_longer_than_a_drain() -> None:
    assert seconds(section(UNITS[0])["TimeoutStopSec"]) > Config.model_fields["drain_grace_s"].default + 20
    assert seconds(section(UNITS[1])["TimeoutStopSec"]) > 20


def test_what_a_restart_does_not_mend_is_not_restarted() -> None:
    assert section(UNITS[0])["RestartPreventExitStatus"] == f"{EXIT_USAGE} {EXIT_STORE_DAMAGED}"
    assert EXIT_DAMAGED == EXIT_STORE_DAMAGED


def section(name: str) -> "configparser.SectionProxy":
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    read.read(FOLDER / name)
    return read["Service"]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("abstract", [False, True])
async def test_the_server_tells_when_it_serves(tmp_path: Path, abstract: bool) -> None:
    path = f"@{tmp_path}/notify" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.bind(path.replace("@", "\0"))
        data = str(tmp_path / "data")
        async with server_program("--data-dir", data, env={"NOTIFY_SOCKET": path}) as program:
            said = await eventually(lambda: heard(channel), what="the notification")
            assert said.startswith("READY=1\nSTATUS=relay-server ready grpc=")
            assert program.address in said


def heard(channel: socket.socket) -> str:
    try:
        return channel.recv(4096).decode()
    except BlockingIOError:
        return ""
