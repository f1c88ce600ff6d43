"""A thread that runs slow work one at a time, so that other requests do not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import HTTPException

from core.errors import StoreUnavailable

MAX_WAITING = 16  # requests
MAX_SECONDS = 5.0  # that a request waits
T = TypeVar("T")


class SingleWorker:
    """Runs functions in one thread, in order, and refuses more than ``MAX_WAITING`` requests at once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._thread = ThreadPoolExecutor(1, what)
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function in the thread, and return its result.

        Raises:
            HTTPException: too many requests wait.
            StoreUnavailable: it takes longer than ``MAX_SECONDS``, as while MLflow hangs.
        """
        if self._waiting >= MAX_WAITING:
            raise HTTPException(
                503, f"too many requests for {self._what} at once; try again in 1 s", {"Retry-After": "1"}
            )
        self._waiting += 1
        result = asyncio.get_running_loop().run_in_executor(self._thread, work)
        result.add_done_callback(self._count_done)
        done, _ = await asyncio.wait([result], timeout=MAX_SECONDS)
        if not done:
            raise StoreUnavailable(
                f"no answer about {self._what} within {MAX_SECONDS:.0f} s; try again later"
            )
        return result.result()

    def _count_done(self, result: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not result.cancelled():
            result.exception()  # otherwise that of a request that no longer waits would be logged

    def close(self) -> None:
        """Wait for the functions that were accepted, and end the thread."""
        self._thread.shutdown()
