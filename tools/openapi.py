"""Writes docs/openapi.json, the HTTP API as the gateway serves it; a test says when it is no longer that."""

import json
import sys
from pathlib import Path

from relay_server import __version__
from relay_server.contract.services import SERVICES
from relay_server.gateway.describing.openapi import openapi
from relay_server.gateway.transcoding.routes import Routes

SNAPSHOT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def main() -> int:
    document = openapi(Routes(SERVICES), version=__version__)
    SNAPSHOT.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
