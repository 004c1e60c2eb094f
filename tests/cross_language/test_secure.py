"""Each SDK's token, authority and client certificate, on a server that asks for all three (I18)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.sdks import ROOT
from tests.support.credentials import Authority, TokensFile
from tests.support.relay import server_program

_TYPESCRIPT = """
const [index, server, caFile, certFile, keyFile] = process.argv.slice(2);
const { Client } = await import(index);
const client = new Client(server, { tls: true, caFile, certFile, keyFile, token: process.env.RELAY_TOKEN });
try {
  console.log((await client.enqueue("orders", "greet", { name: "Ada" })).id);
} finally {
  await client.close();
}
"""
_PYTHON = """
import os, sys
from relay_client import Client
server, ca, cert, key = sys.argv[1:]
options = {"tls": True, "ca_file": ca, "cert_file": cert, "key_file": key, "token": os.environ["RELAY_TOKEN"]}
with Client(server, **options) as client:
    print(client.enqueue("orders", "greet", {"name": "Ada"}).id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A server that asks for all there is, and what it accepts."""

    address: str
    ca: Path
    client: tuple[Path, Path]
    right: str
    wrong: str


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    ca, tokens = Authority(tmp_path), TokensFile(tmp_path / "tokens.toml")
    cert, key = ca.issue(tmp_path, "server")
    right, wrong = tokens.add("shop", producer="orders"), tokens.add("mail", producer="mail")
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(ca.file))
    async with server_program(
        "--data-dir", str(tmp_path / "data"), "--tokens-file", str(tokens.path), *options
    ) as server:
        yield Guarded(
            address=f"localhost:{server.address.rpartition(':')[2]}",
            ca=ca.file,
            client=ca.issue(tmp_path, "client"),
            right=right,
            wrong=wrong,
        )


@pytest.mark.parametrize("language", ["python", "go", "typescript"])
async def test_a_job_gets_in_with_the_right_credentials_alone(
    languages: dict[str, list[str]], guarded: Guarded, tmp_path: Path, language: str
) -> None:
    files = [str(guarded.ca), *map(str, guarded.client)]
    command: Sequence[str]
    if language == "python":
        command = [sys.executable, "-c", _PYTHON, guarded.address, *files]
    elif language == "typescript":
        script = tmp_path / "secure.mjs"
        script.write_text(_TYPESCRIPT)
        index = Path(languages["typescript"][-1]).parents[1] / "src" / "index.js"
        command = ["node", str(script), str(index), guarded.address, *files]
    else:
        names = ("--ca-file", "--cert-file", "--key-file")
        options = [word for pair in zip(names, files, strict=True) for word in pair]
        go = [sys.executable, str(ROOT / "tools" / "go.py"), "build", "-o", str(tmp_path / "secure")]
        code, said = await _ended([*go, "./examples/secure"], "")
        assert code == 0, said
        command = [str(tmp_path / "secure"), "--server", guarded.address, *options]
    code, said = await _ended(command, guarded.right)
    assert code == 0, said
    assert len(said.strip()) == 36, said
    code, said = await _ended(command, guarded.wrong)
    assert code != 0
    assert "shop" not in said
    assert "is not producer of queue 'orders'" in said
    assert guarded.wrong not in said


async def _ended(command: Sequence[str], token: str) -> tuple[int, str]:
    """How a program ended, and all it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "RELAY_TOKEN": token},
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 100)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, said.decode()
