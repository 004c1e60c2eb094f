"""The command that starts each SDK's driver, built once for all test processes of a run."""

import fcntl
import json
from pathlib import Path

from tests.conformance.sdks import SDKS


def drivers(folder: Path) -> dict[str, list[str]]:
    """Language -> command. What is built is in `folder`, which processes that run side by side may share."""
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / "commands.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            commands: dict[str, list[str]] = {}
            for sdk in SDKS:
                (folder / sdk.name).mkdir(exist_ok=True)
                commands[sdk.name] = sdk.build(folder / sdk.name)
            built.write_text(json.dumps(commands))
    found: dict[str, list[str]] = json.loads(built.read_text())
    return found
