"""Threads of health checks and authentication, which must not wait until those of other routes are free.

The routes that are no coroutines share the framework's threads. While the database hangs, all of these may
wait for it, until it is known to hang.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

MAX_THREADS = 8
T = TypeVar("T")
_limiter = CapacityLimiter(MAX_THREADS)


async def run_in_own_thread(function: Callable[[], T]) -> T:
    """Run a function in one of these threads, and return its result."""
    return await to_thread.run_sync(function, limiter=_limiter)
