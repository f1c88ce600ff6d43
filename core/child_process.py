"""A child process that runs one of Patron's commands and ends with the process that started it.

The standard input of the child is a pipe that its parent keeps open and never writes to. The pipe closes when
the parent ends, even if the parent is killed, and the child then exits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

from core.home import Home

CHILD = "PATRON_CHILD"  # set in the environment of a child alone


class ChildProcess:
    """A running command; it exits when this process does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return the exit code, which is 0 on success; None while the command runs."""
        code = self._process.poll()
        if code is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def stop(self) -> int | None:
        """Send SIGTERM, wait until the process has exited, and return the exit code."""
        self._process.terminate()
        self._process.wait()
        return self.poll()


def start(home: Home, *arguments: str, niceness: int = 0) -> ChildProcess:
    """Start ``patron ARGUMENTS`` on a home; errors are logged to this process's standard error.

    Args:
        niceness: how far the child yields the processor to other processes, from 0 to 19.
    """
    environment = {**os.environ, "TZ": "UTC", "PATRON_HOME": str(home.path), CHILD: "1"}
    if home.database is not None:
        environment["PATRON_DATABASE"] = home.database
    process = subprocess.Popen(
        [sys.executable, "-m", "patron", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment,
        process_group=0,  # Ctrl-C in a terminal reaches the parent, which stops the child
    )  # fmt: skip
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
    return ChildProcess(process)


def end_with_parent() -> bool:
    """If this process was started by :func:`start`, exit when the parent does; return whether it was."""
    if os.environ.pop(CHILD, None) is None:
        return False

    def wait_for_parent() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a thread must not hold when Python exits
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    return True
