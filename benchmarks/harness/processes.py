"""Processes of a server: the process that was started, and those that it started."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all its living descendants."""
    tasks = Path(f"/proc/{pid}/task").iterdir()  # each thread lists those that it started
    listed = " ".join((task / "children").read_text() for task in tasks).split()
    return [pid, *(member for child in listed for member in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and all its descendants, the ended ones included."""
    return sum(_cpu_ticks(member) for member in family(pid)) / _TICKS_PER_SECOND


def _cpu_ticks(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15]))  # utime, stime, and cutime, cstime of ended children
