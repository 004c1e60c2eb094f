"""Says in words what is damaged in an embedded store that does not start, and what to do about it."""

import shlex

from relay_server.storage import aof
from relay_server.storage.datafolder import DataFolder
from relay_server.storage.errors import StoreDamaged
from relay_server.storage.mend import plan_repair

_BACKUP = (
    "Put back a backup of that folder (docs/operations.md), or begin an empty store with another --data-dir."
)
# How Redis' versions report files that they cannot read: files of commands, and snapshots.
_COMMANDS = ("reading the append only file", "append only file format")
_SNAPSHOT = ("rdb preamble", "rdb file reading", "error in rdb", "wrong rdb", "signature trying to load")


def damage_of(folder: DataFolder, output: str = "") -> str:
    """The text for people; empty when the files seem to be in order. `output` is that of Redis."""
    try:
        cuts = plan_repair(folder.redis_dir, None)
    except StoreDamaged as damaged:
        return f"{damaged}. Nothing was changed, and relay-server repair cannot mend it. {_BACKUP}"
    except OSError:
        return ""
    output = output.lower()
    if cuts:
        first = cuts[0]
        text = f"{first.file} cannot be read from byte {first.at} on: {first.why}."
    elif any(words in output for words in _SNAPSHOT):
        return f"The base file in {folder.redis_dir / aof.FOLDER} is damaged, and no part of it can be used. {_BACKUP}"
    elif any(words in output for words in _COMMANDS):
        text = f"A file in {folder.redis_dir / aof.FOLDER} cannot be read."
    else:
        return ""
    return f"{text} Nothing was changed. {_hint(folder)}"


def _hint(folder: DataFolder) -> str:
    command = f"relay-server repair --data-dir {shlex.quote(str(folder.path))}"
    return (
        f"`{command} --dry-run` says what would be lost by cutting it there; `{command}` does it and keeps a copy. "
        "A backup of that folder may have more."
    )
