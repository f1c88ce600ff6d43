"""How often an address may fail to sign in; further attempts are refused before a password is checked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

MAX_FAILURES, WINDOW_S = 30, 15 * 60
MAX_ADDRESSES = 10_000  # in memory; beyond, the one with the oldest first failure is forgotten


@dataclass
class _Window:
    """The failures of an address since its first one."""

    began_s: float
    failures: int = 0
    is_reported: bool = False


class SignInAttempts:
    """The attempts of each address to sign in, in one process; threads share it.

    An address has 30 failures in 15 minutes, which begin with the first. Attempts that are being checked
    count as failures until they succeed, so many at the same time do not exceed the limit.

    Args:
        clock: in seconds; it does not go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._windows: dict[str, _Window] = {}

    def begin(self, address: str) -> float:
        """Count an attempt: 0 if it may go on, else the seconds after which the next one may."""
        with self._lock:
            window = self._window(address)
            if window.failures >= MAX_FAILURES:
                return window.began_s + WINDOW_S - self._clock()
            window.failures += 1
            return 0

    def succeeded(self, address: str) -> None:
        """Uncount the attempt that :meth:`begin` counted."""
        with self._lock:
            window = self._window(address)
            window.failures = max(0, window.failures - 1)

    def is_first_refusal(self, address: str) -> bool:
        """Whether the refusal is the first one of the 15 minutes, which is to be recorded."""
        with self._lock:
            window = self._window(address)
            first, window.is_reported = not window.is_reported, True
            return first

    def _window(self, address: str) -> _Window:
        name, now_s = network_of(address), self._clock()
        window = self._windows.get(name)
        if window is None or now_s >= window.began_s + WINDOW_S:
            self._windows.pop(name, None)  # so that the dictionary is in the order of first failures
            if len(self._windows) >= MAX_ADDRESSES:
                del self._windows[next(iter(self._windows))]
            window = self._windows[name] = _Window(now_s)
        return window


def network_of(address: str) -> str:
    """An IPv4 address; of an IPv6 address its network of 64 bits, which one machine has to itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
