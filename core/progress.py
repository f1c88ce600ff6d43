"""How long work tells how far it is, without knowing who shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what is being done and the share (0 to 1) that is done."""


def silent(message: str, done: float) -> None:
    """Show nothing."""
