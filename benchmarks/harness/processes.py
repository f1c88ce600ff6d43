"""Processes of a server: the process that was started, and those that it started."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

IDLE_S, IDLE_SHARE, MAX_WAIT_S = 4.0, 0.05, 90.0
_ENDED = (FileNotFoundError, ProcessLookupError)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all its descendants; those that end meanwhile may be left out."""
    listed = ""
    with suppress(*_ENDED):
        tasks = Path(f"/proc/{pid}/task").iterdir()  # each thread lists those that it started
        listed = " ".join((task / "children").read_text() for task in tasks)
    return [pid, *(member for child in listed.split() for member in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and all its descendants, the ended ones included."""
    return sum(_cpu_ticks(member) for member in family(pid)) / _TICKS_PER_SECOND


def wait_until_idle(pid: int) -> None:
    """Wait until a server has used less than ``IDLE_SHARE`` of a processor for ``IDLE_S`` seconds.

    Raises:
        RuntimeError: after ``MAX_WAIT_S`` seconds it still works.
    """
    until = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < until:
        before = cpu_seconds(pid)
        time.sleep(IDLE_S)
        if cpu_seconds(pid) - before < IDLE_SHARE * IDLE_S:
            return
    raise RuntimeError(f"the server works after {MAX_WAIT_S:.0f} seconds without requests")


def _cpu_ticks(pid: int) -> int:
    """The time of a process and of its ended children; 0 if it ended, since its parent's time contains it."""
    with suppress(*_ENDED):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_name[11:15]))  # utime, stime, and cutime, cstime of ended children
    return 0
