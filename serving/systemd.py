"""What systemd passes to a service, and what it wants to know: sd_listen_fds(3) and sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

FIRST_DESCRIPTOR = 3


def is_socket_passed() -> bool:
    """Whether the service gets a listening socket, which others may share, in place of an address."""
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0"


def passed_sockets() -> list[socket.socket]:
    """The listening sockets that were passed; none without systemd."""
    if not is_socket_passed():
        return []
    count = int(os.environ["LISTEN_FDS"])
    return [
        socket.socket(fileno=descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)
    ]


def notify(state: str) -> None:
    """Send a state, such as ``READY=1``, if the service was started with ``Type=notify``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
