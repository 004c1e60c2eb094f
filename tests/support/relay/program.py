"""`relay-server` as a program."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually


@dataclass(slots=True)
class ServerProgram:
    """`relay-server` as a program. What it says is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    @property
    def http_address(self) -> str:
        """Where it serves HTTP, for one that was given --http."""
        return self.said().split(" http=", 1)[1].split(" ", 1)[0]

    @property
    def metrics_address(self) -> str:
        """Where it serves metrics, for one that was given --metrics."""
        return self.said().split(" metrics=", 1)[1].split(" ", 1)[0]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()

    async def exit_code(self, *, within: float = 15.0) -> int:
        await eventually(lambda: self.process.poll() is not None, within=within, what="the server's end")
        return int(self.process.returncode)


@asynccontextmanager
async def server_program(
    *options: str, tls: tuple[Path, Path] | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[ServerProgram]:
    """The program on a free port, once it said that it is ready. What still runs at the end is killed, by its pid.

    `tls` are the files of its certificate and key.
    """
    guarded = ("--tls-cert", str(tls[0]), "--tls-key", str(tls[1])) if tls is not None else ()
    with tempfile.TemporaryDirectory(prefix="relay-server-", dir="/tmp") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "from relay_server.cli import main; main()"),
                    *("--listen", "127.0.0.1:0", "--http", "off", "--log-format", "json"),
                    *guarded,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        program = ServerProgram(process, log)
        try:
            await eventually(
                lambda: process.poll() is not None or "relay-server ready" in program.said(),
                within=30,
                what="the ready line",
            )
            assert process.poll() is None, program.said()
            program.address = program.said().split("grpc=", 1)[1].split(" ", 1)[0]
            yield program
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
