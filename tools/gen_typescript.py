"""Generates clients/typescript/gen from proto/, or with --check says how the committed copy differs.

buf runs the plugin that clients/typescript pins. Details of errors (google/rpc) are generated too: no package has them.
"""

import sys
from pathlib import Path

from settle import ROOT, main_of, run_buf


def generate(out: Path) -> None:
    """Write the messages and services of every proto below `out`."""
    run_buf("buf.gen.typescript.yaml", out)


if __name__ == "__main__":
    sys.exit(main_of(__doc__ or "", generate, ROOT / "clients" / "typescript" / "gen"))
