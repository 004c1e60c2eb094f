"""Generates clients/python/gen, relay_server/keda and the gateway's comments, or with --check says how they differ.

Runs in the environment of requirements/gen.txt, which pins the generator: its version is the oldest runtime
that users may have. google/ is never generated: it comes from googleapis-common-protos.
"""

import argparse
import json
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from proto_comments import comments_of
from settle import settle

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
INCLUDES = (PROTO, ROOT / "third_party" / "googleapis", Path(str(files("grpc_tools"))) / "_proto")
CONTRACT = ROOT / "clients" / "python" / "gen"
# KEDA's contract is the server's alone: as a module inside its package it puts no name into a user's environment.
KEDA = ROOT / "relay_server" / "keda"
KEDA_PROTO = ROOT / "third_party" / "keda" / "externalscaler.proto"
COMMENTS = ROOT / "relay_server" / "gateway" / "describing" / "comments.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only fail if the committed code differs")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        contract, keda = Path(folder, "contract"), Path(folder, "keda")
        generate(contract)
        generate_keda(keda)
        fine = [
            settle(contract, CONTRACT, check=check),
            settle(keda / KEDA.relative_to(ROOT), KEDA, check=check),
        ]
        comments = read_comments()
        commented = COMMENTS.exists() and COMMENTS.read_text("utf-8") == comments
        if check:
            if not commented:
                print(
                    f"{COMMENTS.relative_to(ROOT)} has other comments than proto/: run `make gen`, commit it."
                )
            return 0 if commented and all(fine) else 1
        COMMENTS.write_text(comments, "utf-8")
    return 0


def generate_keda(out: Path) -> None:
    """Write the code of KEDA's contract below `out`, as modules of relay_server.keda."""
    inside = KEDA.relative_to(ROOT)
    (out / inside).mkdir(parents=True)
    plugins = ("python", "mypy", "grpc_python", "mypy_grpc")
    outputs = (f"--{name}_out={'quiet:' if 'mypy' in name else ''}{out}" for name in plugins)
    run_protoc([KEDA_PROTO], f"-I{inside}={KEDA_PROTO.parent}", *outputs)
    (out / inside / "__init__.py").touch()


def generate(out: Path) -> None:
    """Write the Python code, the stubs and the package files of every proto of ours below `out`."""
    out.mkdir()
    protos = sorted(PROTO.rglob("*.proto"))
    if not protos:
        sys.exit(f"no .proto file below {PROTO}")
    run_protoc(protos, f"--python_out={out}", f"--mypy_out=quiet:{out}")
    # The gRPC plugins write an empty module for a file without a service, so they see only the others.
    services = [proto for proto in protos if re.search(r"^service\s", proto.read_text("utf-8"), re.MULTILINE)]
    if services:
        # Without `only_async` the stubs are typed for both kinds of channel: the SDK has a client of each.
        run_protoc(services, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}")
    for module in sorted({proto.relative_to(PROTO).parent for proto in protos}):
        for package in (module, *module.parents[:-1]):
            (out / package / "__init__.py").touch()
    for top in sorted({proto.relative_to(PROTO).parts[0] for proto in protos}):
        (out / top / "py.typed").touch()


def read_comments() -> str:
    """The comments of the contract as JSON: the gateway's OpenAPI page shows them, and descriptors hold none."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.binpb")
        run_protoc(sorted(PROTO.rglob("*.proto")), f"--descriptor_set_out={out}", "--include_source_info")
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
        return json.dumps(comments_of(files), ensure_ascii=False, indent=1) + "\n"


def run_protoc(protos: list[Path], *outputs: str) -> None:
    arguments = ["protoc", *(f"-I{folder}" for folder in INCLUDES), *outputs, *map(str, protos)]
    # The plugin of mypy-protobuf lies beside this interpreter, which need not be on PATH.
    arguments += [f"--plugin={path}" for path in sorted(Path(sys.executable).parent.glob("protoc-gen-mypy*"))]
    status = protoc.main(arguments)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    sys.exit(main())
