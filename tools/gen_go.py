"""Generates clients/go/gen from proto/, or with --check says how the committed copy differs.

buf runs the two plugins that clients/go/internal/tools pins. The packages' names are the contract's own `go_package`.
"""

import os
import sys
from pathlib import Path

import go as toolchain
from settle import ROOT, main_of, run_buf


def generate(out: Path) -> None:
    """Write the messages and the stubs of every proto below `out`."""
    path = os.pathsep.join([str(toolchain.tools(toolchain.find())), os.environ.get("PATH", "")])
    run_buf("buf.gen.go.yaml", out, {**os.environ, "PATH": path})


if __name__ == "__main__":
    sys.exit(main_of(__doc__ or "", generate, ROOT / "clients" / "go" / "gen"))
