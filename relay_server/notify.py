"""Tells systemd that the server serves (sd_notify, for units of Type=notify)."""

import os
import socket
from contextlib import suppress


def serving(status: str) -> None:
    """To the socket in NOTIFY_SOCKET; without one, nothing. A supervisor that does not listen costs no start."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # @: a name outside the file system
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(f"READY=1\nSTATUS={status}\n".encode())
