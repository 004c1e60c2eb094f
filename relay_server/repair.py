"""`relay-server repair`: cuts a damaged embedded store where it can no longer be read, so that a server can start."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from relay_server.observability.logs import configure_logging
from relay_server.storage import StorageError, aof, default_data_dir
from relay_server.storage.datafolder import DataFolder, claim_data_folder
from relay_server.storage.embedded import known_commands
from relay_server.storage.errors import DataFolderUnusable
from relay_server.storage.mend import Cut, plan_repair, repair

EXIT_WELL, EXIT_FAILED, EXIT_DAMAGED = 0, 1, 3
_LOCK_WAIT_S = 2.0


def main(arguments: Sequence[str]) -> int:
    """0: the store can be read, now or as it was; 1: it cannot be repaired, and why on stderr; 3: it is damaged, and
    nothing was done because of --dry-run."""
    options = _parser().parse_args(arguments)
    configure_logging("console", level="ERROR")
    path: Path = options.data_dir or default_data_dir()
    try:
        return asyncio.run(_run(path, dry_run=options.dry_run))
    except (StorageError, OSError) as error:
        print(f"relay-server repair: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay-server repair",
        description="Cuts a damaged embedded store at the first command that cannot be read, and keeps a copy of the "
        "files as they were in the data folder. The server must not run. Jobs enqueued, and settled, after that point "
        "are lost. Exit codes: 0 the store can be read, 1 it cannot be repaired, 3 it is damaged (--dry-run).",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=os.environ.get("RELAY_DATA_DIR") and Path(os.environ["RELAY_DATA_DIR"]),
        metavar="DIR",
        help="the server's data folder (default: RELAY_DATA_DIR, else relay in the user's state folder)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be cut")
    return parser


async def _run(path: Path, *, dry_run: bool) -> int:
    if not (path.expanduser() / "redis" / aof.FOLDER).is_dir():
        raise DataFolderUnusable(
            f"{path} holds no store; give the data folder of one with --data-dir (RELAY_DATA_DIR)"
        )
    known = await known_commands()
    folder = await claim_data_folder(path, wait_s=_LOCK_WAIT_S)
    try:
        return _repair(folder, known, dry_run=dry_run)
    finally:
        folder.release()


def _repair(folder: DataFolder, known: frozenset[bytes], *, dry_run: bool) -> int:
    files = folder.redis_dir / aof.FOLDER
    cuts = plan_repair(folder.redis_dir, known)
    if not cuts:
        print(f"relay-server repair: every command in {files} can be read; nothing to do")
        return EXIT_WELL
    for cut in cuts:
        print(_text_of(cut))
    if dry_run:
        print("relay-server repair: damaged; nothing was changed, because of --dry-run")
        return EXIT_DAMAGED
    copy = repair(folder.redis_dir, cuts, folder.path)
    print(
        f"relay-server repair: done; the files as they were are in {copy}; now start the server, and run relay doctor"
    )
    return EXIT_WELL


def _text_of(cut: Cut) -> str:
    return (
        f"{cut.file}: {cut.why}: cut at byte {cut.at}, {cut.dropped_bytes} bytes with about {cut.dropped_commands} "
        "commands dropped"
    )
