"""Owns the data folder: makes it private, lets one server have it, and finds a place for the socket."""

import asyncio
import fcntl
import hashlib
import json
import os
import signal
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relay_server.storage.errors import DataFolderInUse, DataFolderUnusable

_SOCKET_BYTES_MAX = 103  # the longest path of a socket is 107 bytes on Linux, 103 on macOS
_ANOTHER = "give this one a folder of its own with --data-dir DIR (RELAY_DATA_DIR)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """A locked data folder. Whoever holds `lock_fd` or a copy of it keeps the lock."""

    path: Path
    redis_dir: Path  # private, mode 0700
    log_path: Path
    socket_path: Path
    lock_fd: int

    def note_redis(self, redis_pid: int) -> None:
        """Writes down which process serves the folder; a second owner is told by it."""
        _write_owner(self.lock_fd, redis_pid)

    def release(self) -> None:
        """Gives the folder up. A Redis that still runs on it keeps it locked."""
        with suppress(OSError):
            self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent != self.redis_dir:
            with suppress(OSError):
                self.socket_path.parent.rmdir()
        os.close(self.lock_fd)


def default_data_dir() -> Path:
    """`relay` below $XDG_STATE_HOME, or below ~/.local/state."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "relay"


async def claim_data_folder(path: Path, *, wait_s: float) -> DataFolder:
    """Makes and locks the folder; waits `wait_s` for an owner that is just ending.

    Raises DataFolderInUse, which names the owner, or DataFolderUnusable.
    """
    path, redis_dir, lock_fd = _make(path)
    try:
        await _lock(lock_fd, path, wait_s)
        _write_owner(lock_fd, None)
        socket_path = _socket_path(redis_dir)
    except BaseException:
        os.close(lock_fd)
        raise
    return DataFolder(
        path=path,
        redis_dir=redis_dir,
        log_path=path / "redis.log",
        socket_path=socket_path,
        lock_fd=lock_fd,
    )


def _make(path: Path) -> tuple[Path, Path, int]:
    """The absolute folder, the private folder in it, and the open lock file."""
    path = path.expanduser().absolute()
    redis_dir = path / "redis"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        redis_dir.mkdir(mode=0o700, exist_ok=True)
        redis_dir.chmod(0o700)
        lock_fd = os.open(path / "relay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderUnusable(
            f"data folder {path} cannot be used: {error.strerror}. Correct its rights, or {_ANOTHER}."
        ) from error
    return path, redis_dir, lock_fd


async def _lock(lock_fd: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_left_behind(lock_fd)
            if time.monotonic() >= deadline:
                raise DataFolderInUse(_in_use(lock_fd, path)) from None
        except OSError as error:
            raise DataFolderUnusable(
                f"data folder {path} cannot be locked: {error.strerror}. Use a local disk, or {_ANOTHER}."
            ) from error
        else:
            return
        await asyncio.sleep(0.05)


def _write_owner(lock_fd: int, redis_pid: int | None) -> None:
    text = json.dumps({"pid": os.getpid(), "redis_pid": redis_pid}).encode()
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, text, 0)


def _read_owner(lock_fd: int) -> tuple[int, int | None] | None:
    try:
        owner = json.loads(os.pread(lock_fd, 1024, 0))
        return owner["pid"], owner["redis_pid"]
    except (ValueError, KeyError, TypeError):
        return None


def _end_left_behind(lock_fd: int) -> None:
    """Ends the child of a killed Redis that still rewrites the files: it holds the lock, and its output is of no use.

    The number of the process group is safe to use: the system does not reuse it while a member lives.
    """
    owner = _read_owner(lock_fd)
    if owner is None or owner[1] is None or _alive(owner[0]) or _alive(owner[1]):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(owner[1], signal.SIGKILL)


def _in_use(lock_fd: int, path: Path) -> str:
    owner = _read_owner(lock_fd)
    if owner is None:
        return f"data folder {path} is in use by another process. Stop it, or {_ANOTHER}."
    pid, redis_pid = owner
    if redis_pid is not None and not _alive(pid):
        # Redis inherits the lock, so a Redis that outlives its server still holds the folder.
        return (
            f"data folder {path} is still held by the embedded Redis (process {redis_pid}) of a relay-server "
            f"that is gone (process {pid}). End it with `kill {redis_pid}`, or {_ANOTHER}."
        )
    redis = f" and its embedded Redis, process {redis_pid}" if redis_pid is not None else ""
    return (
        f"data folder {path} is in use by relay-server process {pid}{redis}. Stop that server, or {_ANOTHER}."
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie: it has ended, and its parent, in a container, may never ask
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def _socket_path(redis_dir: Path) -> Path:
    beside_data = redis_dir / "redis.sock"
    if len(os.fsencode(beside_data)) <= _SOCKET_BYTES_MAX:
        return beside_data
    name = f"relay-{os.getuid()}-{hashlib.sha256(os.fsencode(redis_dir)).hexdigest()[:12]}"
    shared = "/tmp"  # noqa: S108 - _make_private guards it
    candidates = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), shared)
    places = [Path(place) for place in candidates if place]
    for place in places:
        short = place / name / "redis.sock"
        if len(os.fsencode(short)) <= _SOCKET_BYTES_MAX and _make_private(short.parent):
            return short
    raise DataFolderUnusable(
        f"the path {beside_data} is too long for a socket ({_SOCKET_BYTES_MAX} bytes), and no shorter "
        f"private folder could be made in {', '.join(map(str, places))}. "
        "Choose a shorter --data-dir (RELAY_DATA_DIR)."
    )


def _make_private(folder: Path) -> bool:
    """Whether the folder is now ours alone. In a shared /tmp somebody else may have made it first."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and stat.S_IMODE(status.st_mode) == 0o700
    )
