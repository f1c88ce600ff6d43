"""Computes a function in another process, while this one goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from core.errors import PatronError

T = TypeVar("T")


@contextmanager
def computing(function: Callable[..., T], *arguments: Any) -> Iterator[Callable[[], T]]:
    """Start a function, and yield a function that waits for its result.

    The process ends with the block, and with this process, even if it is killed.

    Args:
        function: of a module, so that the other process can import it; it should write nothing.
        arguments: can be pickled, as the result.

    Raises:
        PatronError: the function raised it, or its process ended without a result; raised where the result is
            waited for.
    """
    spawned = multiprocessing.get_context("spawn")  # a fork would copy locks of other threads
    receiver, sender = spawned.Pipe(duplex=False)
    process = spawned.Process(target=_compute, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()

    def result() -> T:
        try:
            value, error = receiver.recv()
        except EOFError:
            process.join()
            raise PatronError(
                f"the process that computes {function.__name__} ended with the exit code {process.exitcode};"
                " see that the machine has enough memory, and train again"
            ) from None
        if error is not None:
            raise error
        done: T = value
        return done

    try:
        yield result
    finally:
        process.terminate()
        process.join()
        receiver.close()


def _compute(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Send the result of a function, or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sender.send((function(*arguments), None))
    except PatronError as error:
        sender.send((None, error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
