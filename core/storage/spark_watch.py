"""Ends the work of a session whose cluster has no executors any more; Spark itself would wait without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from core.errors import PatronError

TIMEOUT = "spark.patron.executorTimeoutSeconds"
_TIMEOUT_S, _POLL_S = "300", 1.0


@contextmanager
def watched(context: Any, master: str) -> Iterator[None]:
    """Cancel the jobs of a Spark context when they had no executors for some time.

    The time is ``spark.patron.executorTimeoutSeconds`` in the configuration of the cluster, by default five
    minutes, in which a cluster may start executors.

    Args:
        context: a ``SparkContext``. master: its address.

    Raises:
        PatronError: the block failed because its jobs were cancelled.
    """
    timeout_s = float(context.getConf().get(TIMEOUT, _TIMEOUT_S))
    watch = _Watch(context, timeout_s)
    watch.start()
    try:
        yield
    except PatronError as error:
        if watch.lost:
            raise PatronError(
                f"the cluster {master} had no executors for {timeout_s:g} seconds; start it and run the"
                " command again, which continues"
            ) from error
        raise
    finally:
        watch.ended.set()
        watch.join()


class _Watch(threading.Thread):
    """Looks every second.

    Attributes:
        lost: whether it cancelled jobs. ended: set it when the work has ended.
    """

    def __init__(self, context: Any, timeout_s: float) -> None:
        super().__init__(name="spark-watch", daemon=True)
        self._context, self._timeout_s = context, timeout_s
        self.lost, self.ended = False, threading.Event()

    def run(self) -> None:
        present_at = time.monotonic()
        with suppress(Exception):  # its Java has ended: the work fails by itself
            while not self.ended.wait(_POLL_S):
                if self._has_executors() or not self._context.statusTracker().getActiveJobsIds():
                    present_at = time.monotonic()
                elif time.monotonic() - present_at > self._timeout_s:
                    self.lost = True
                    self._context.cancelAllJobs()

    def _has_executors(self) -> bool:
        return bool(self._context._jsc.sc().getExecutorMemoryStatus().size() > 1)  # the driver is one
