"""Runs a Redis server of Relay's own: starts it, restarts it when it dies, and ends it."""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import structlog

from relay_server.storage import aof
from relay_server.storage.binary import find_binary
from relay_server.storage.childlog import ChildLog
from relay_server.storage.config import StorageConfig
from relay_server.storage.damage import damage_of
from relay_server.storage.datafolder import DataFolder, claim_data_folder, default_data_dir
from relay_server.storage.errors import EmbeddedRedisFailed, StoreDamaged
from relay_server.storage.mend import cut_padding

_log = structlog.get_logger(__name__)
_ENDED = "it ended at once"
_GUARD = Path(__file__).with_name("_guard.py")


class EmbeddedRedis:
    """One Redis process on a private unix socket, supervised until `stop()`.

    The socket's path never changes, so clients reconnect by themselves after a restart.
    """

    def __init__(self, binary: Path, folder: DataFolder, config: StorageConfig) -> None:
        self.folder = folder
        self.url = "unix://" + quote(str(folder.socket_path))
        self._binary = binary
        self._config = config
        self._output = ChildLog(folder.log_path, bytes_max=config.embedded_log_bytes_max)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running server, or None between a death and the restart."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Returns when the server answers. Raises EmbeddedRedisFailed, quoting its log; StoreDamaged when its files are
        the reason, which says what to do."""
        self._cut_padding()
        try:
            await self._launch()
        except EmbeddedRedisFailed as error:
            ended = _ENDED in str(error)
            if ended and (damage := damage_of(self.folder, str(error))):
                raise StoreDamaged(f"{error}\n{damage}") from None
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="embedded-redis")
        self._supervisor.add_done_callback(_report_end)

    def _cut_padding(self) -> None:
        """Cuts zeros that a power cut left at the end of the newest file, which Redis refuses to read."""
        try:
            cuts = cut_padding(self.folder.redis_dir, self.folder.path)
        except StoreDamaged:
            if not (self.folder.redis_dir / aof.FOLDER / aof.MANIFEST).exists():
                raise StoreDamaged(damage_of(self.folder)) from None  # Redis would start, empty
            return
        for cut, kept in cuts:
            _log.warning(
                "embedded_redis_padding_cut",
                file=str(cut.file),
                at_byte=cut.at,
                bytes=cut.dropped_bytes,
                kept=str(kept),
                consequence="none: nothing that was acknowledged was in it",
            )

    async def stop(self) -> None:
        """Ends supervision and server (SIGTERM, then SIGKILL) and gives the data folder back."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None
        try:
            await self._end_process()
        finally:
            self._output.close()
            self.folder.release()

    async def _launch(self) -> None:
        began = time.monotonic()
        self._output.forget_tail()
        process = self._process = await asyncio.create_subprocess_exec(
            *_guarded(self._command()),
            cwd=self.folder.redis_dir,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            pass_fds=(self.folder.lock_fd,),  # the child holds the lock as long as it lives
            start_new_session=True,  # a Ctrl-C in the terminal goes to Relay alone, which stops Redis last
        )
        try:
            self._reader = asyncio.create_task(_copy(process, self._output), name="embedded-redis-log")
            self.folder.note_redis(process.pid)
            await self._until_ready(process)
        except BaseException:
            await self._end_process()
            raise
        _log.info(
            "embedded_redis_started",
            pid=process.pid,
            binary=str(self._binary),
            data_dir=str(self.folder.path),
            seconds=round(time.monotonic() - began, 3),
        )

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.folder.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder.redis_dir),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-use-rdb-preamble": "yes",
            "aof-load-truncated": "yes",  # a kill in the middle of a write leaves a cut last record
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [
            str(self._binary),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    async def _until_ready(self, process: Process) -> None:
        began = time.monotonic()
        pause_s, log_loading = 0.004, True
        while True:
            waited_s = time.monotonic() - began
            if process.returncode is not None:
                # Its last lines may still be in the pipe.
                if self._reader is not None:
                    await asyncio.wait({self._reader}, timeout=1)
                raise self._failed(f"{_ENDED} with {_ending(process)}")
            answer = await self._ping()
            if answer.startswith(b"+PONG"):
                return
            loading = answer.startswith(b"-LOADING")
            limit_s = (
                self._config.embedded_load_timeout_s if loading else self._config.embedded_start_timeout_s
            )
            if waited_s > limit_s:
                reply = answer.decode(errors="replace").strip() or "nothing"
                raise self._failed(f"after {waited_s:.0f} s it was not ready (PING: {reply})")
            if loading and waited_s > 1 and log_loading:
                log_loading = False
                _log.info("embedded_redis_loading", data_dir=str(self.folder.path))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.1)

    async def _ping(self) -> bytes:
        """The first line of the reply to PING, or nothing. A redis-py client would leak if its close is cancelled."""
        try:
            async with asyncio.timeout(self._config.connect_timeout_s):
                reader, writer = await asyncio.open_unix_connection(self.folder.socket_path)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""

    async def _supervise(self) -> None:
        deaths = 0
        while True:
            assert self._process is not None
            began = time.monotonic()
            await self._process.wait()
            died = time.monotonic()
            deaths = 1 if died - began >= self._config.embedded_stable_after_s else deaths + 1
            _log.error(
                "embedded_redis_died", ending=_ending(self._process), output=self._output.last_lines(5)
            )
            while True:
                await asyncio.sleep(self._backoff_s(deaths))
                try:
                    await self._launch()
                except (EmbeddedRedisFailed, OSError) as error:
                    deaths += 1
                    _log.error("embedded_redis_restart_failed", error=str(error))
                else:
                    break
            _log.warning(
                "embedded_redis_restarted", pid=self.pid, seconds_down=round(time.monotonic() - died, 3)
            )

    def _backoff_s(self, deaths: int) -> float:
        """The first restart is immediate; then full jitter below a doubling bound."""
        if deaths <= 1:
            return 0.0
        bound_s = self._config.embedded_restart_backoff_s * 2 ** min(deaths - 2, 16)
        return random.uniform(0, min(bound_s, self._config.embedded_restart_backoff_max_s))

    async def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self._config.embedded_stop_timeout_s):
                    await process.wait()
            except TimeoutError:
                _log.warning(
                    "embedded_redis_killed", pid=process.pid, after_s=self._config.embedded_stop_timeout_s
                )
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=1)
            self._reader.cancel()

    def _failed(self, what: str) -> EmbeddedRedisFailed:
        lines = "\n".join(f"  | {line}" for line in self._output.last_lines(15)) or "  | (nothing)"
        return EmbeddedRedisFailed(
            f"the embedded Redis ({self._binary}) did not start: {what}.\n"
            f"Its last lines, from {self.folder.log_path}:\n{lines}\n"
            "Correct that, choose another folder with --data-dir (RELAY_DATA_DIR), another program with "
            "RELAY_REDIS_BINARY, or a running server with --redis-url (RELAY_REDIS_URL)."
        )


async def start_embedded(config: StorageConfig) -> EmbeddedRedis:
    """Finds a server program, takes the data folder and starts. Raises a StorageError."""
    binary = find_binary()
    folder = await claim_data_folder(
        config.data_dir or default_data_dir(), wait_s=config.embedded_lock_wait_s
    )
    try:
        embedded = EmbeddedRedis(binary, folder, config)
    except BaseException:
        folder.release()
        raise
    try:
        await embedded.start()
    except BaseException:
        await embedded.stop()
        raise
    return embedded


async def known_commands() -> frozenset[bytes]:
    """The names of all commands of the program that would be started. Raises a StorageError."""
    with tempfile.TemporaryDirectory(prefix="relay-commands-") as folder:
        embedded = await start_embedded(StorageConfig(data_dir=Path(folder)))
        try:
            reader, writer = await asyncio.open_unix_connection(embedded.folder.socket_path)
            writer.write(b"COMMAND LIST\r\n")
            count = int((await reader.readline())[1:])
            lines = [await reader.readline() for _ in range(2 * count)]
            writer.close()
        finally:
            await embedded.stop()
    return frozenset(name.strip().lower() for name in lines[1::2])


def _guarded(command: list[str]) -> list[str]:
    # The kernel watches the *thread* that starts the program: here the event loop's, which lasts as long as
    # anyone can use the storage.
    mode = "signal" if sys.platform.startswith("linux") else "watch"
    return [sys.executable, "-I", "-S", str(_GUARD), mode, str(os.getpid()), *command]


async def _copy(process: Process, output: ChildLog) -> None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(4096):
        output.write(chunk)


def _ending(process: Process) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _report_end(supervisor: asyncio.Task[None]) -> None:
    if not supervisor.cancelled():
        _log.critical("embedded_redis_unsupervised", exc_info=supervisor.exception())
