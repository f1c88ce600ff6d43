"""The type of a progress callback, independent of how progress is displayed."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with the current step and the share (0 to 1) that is done."""


def silent(message: str, done: float) -> None:
    """Show nothing."""
