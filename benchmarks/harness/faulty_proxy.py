"""A TCP proxy in front of a server, which lets the server stop, hang, be slow or refuse logins."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from enum import StrEnum

from benchmarks.harness.servers import HOST

_PAUSE_S = 0.02
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing a socket resets the connection


class Fault(StrEnum):
    """What is wrong with a server."""

    STOPPED = "stopped"
    """Connections are reset, and new ones refused."""
    HANGING = "hanging"
    """Connections are accepted, and nothing is answered, as by a process that was suspended."""
    SLOW = "slow"
    """Each chunk, in either direction, takes longer by the proxy's ``delay_s``."""
    REFUSING = "refusing logins"
    """Whatever a client sends is answered by the proxy's ``refusal``."""


class FaultyProxy:
    """Forwards connections to a port of this machine; threads serve it until :meth:`close`.

    Args:
        refusal: the response to every request while logins are refused; it ends the connection.
    """

    def __init__(self, to_port: int, *, delay_s: float = 0.1, refusal: bytes = b"") -> None:
        self._to_port, self._delay_s, self._refusal = to_port, delay_s, refusal
        self._fault: Fault | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._accept_in_thread()

    def set(self, fault: Fault | None) -> None:
        """Begin a fault, or end it."""
        before, self._fault = self._fault, fault
        if fault == Fault.STOPPED:
            self._stop_listening()
            self._reset_connections()
        elif before == Fault.STOPPED:
            self._listener = socket.create_server((HOST, self.port), backlog=256)
            self._accept_in_thread()

    def close(self) -> None:
        """End all connections."""
        self._fault = None
        self._stop_listening()
        self._reset_connections()

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # also wakes the thread that accepts
        self._listener.close()

    def _reset_connections(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        for each in sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept_in_thread(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((HOST, self._to_port))
                with self._lock:
                    self._open |= {client, server}
                for source, target in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._forward, args=(source, target, source is client), daemon=True
                    ).start()

    def _forward(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                while self._fault == Fault.HANGING:
                    time.sleep(_PAUSE_S)
                if self._fault == Fault.REFUSING and self._refusal:
                    if from_client:
                        source.sendall(self._refusal)
                    break
                if self._fault == Fault.SLOW:
                    time.sleep(self._delay_s)
                target.sendall(chunk)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            with self._lock:
                self._open.discard(each)
