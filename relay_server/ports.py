"""Addresses to listen on: reads HOST:PORT and opens the socket, or says who has the port and which option to change."""

import errno
import socket
from pathlib import Path

_LISTENING = "0A"
_BACKLOG = 128


class PortUnavailable(OSError):
    """A listener cannot be opened. The message names the cause, the owner if it is known, and the option."""


def split_address(address: str) -> tuple[str, str]:
    """(host, port) of HOST:PORT; brackets of an IPv6 host are taken off."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def open_socket(host: str, port: int, option: str) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one. Raises PortUnavailable, which names the option."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise PortUnavailable(_text(option, host, port, error.strerror or str(error))) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        cause = f"the port is taken{_by(owner_of(port))}" if taken else error.strerror or str(error)
        raise PortUnavailable(_text(option, host, port, cause)) from error
    return listener


def owner_of(port: int) -> tuple[int, str] | None:
    """(process id, name) of what listens on a TCP port, as far as /proc shows it to us."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listeners(Path("/proc/net", table), port)}
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                return int(process.name), (process / "comm").read_text().strip()
        except OSError:  # the process is gone, or belongs to another user
            continue
    return None


def _listeners(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]


def _by(owner: tuple[int, str] | None) -> str:
    return f" by process {owner[0]} ({owner[1]})" if owner else ""


def _text(option: str, host: str, port: int, cause: str) -> str:
    variable = f"RELAY_{option.removeprefix('--').upper()}"
    return (
        f"{option} {host}:{port}: {cause}. "
        f"Choose another with {option} HOST:PORT ({variable}), port 0 for any free one."
    )
