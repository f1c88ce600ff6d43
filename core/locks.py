"""Locks on open files, between processes; the kernel releases them when the file closes or the process ends.

Two open files of one process exclude each other too, but threads that share one open file do not.
"""

from __future__ import annotations

import fcntl
import time
from typing import Protocol


class _Open(Protocol):
    def fileno(self) -> int: ...


def acquire(file: _Open | int, *, shared: bool = False) -> bool:
    """Lock a file without waiting; returns whether this succeeded.

    Args:
        shared: take a shared lock, which excludes only exclusive ones.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def acquire_within(file: _Open | int, patience_s: float, pause_s: float) -> bool:
    """Lock a file, trying again every ``pause_s`` for ``patience_s``; returns whether this succeeded."""
    until = time.monotonic() + patience_s
    while not acquire(file):
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
    return True


def wait(file: _Open | int) -> None:
    """Lock a file; the kernel queues those who wait."""
    fcntl.flock(file, fcntl.LOCK_EX)


def release(file: _Open | int) -> None:
    """Unlock a file that stays open."""
    fcntl.flock(file, fcntl.LOCK_UN)
