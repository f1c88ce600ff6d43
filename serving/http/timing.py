"""The stages of a request and their durations, sent as ``Server-Timing``."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter


class Stages:
    """The durations of a request's stages, in seconds, by name; their sum is the time until the last mark."""

    __slots__ = ("last", "seconds", "started")

    def __init__(self) -> None:
        self.started = self.last = perf_counter()
        self.seconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """Add the time since the last mark to this stage."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now

    def header(self) -> bytes:
        """The stages and their total, in milliseconds, as the header ``Server-Timing``."""
        durations = [f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in self.seconds.items()]
        return ", ".join([*durations, f"total;dur={(perf_counter() - self.started) * 1e3:.2f}"]).encode()


class _NoStages(Stages):
    """Ignores marks, outside of requests."""

    __slots__ = ()

    def mark(self, stage: str) -> None:
        """Nothing."""


_NO_STAGES = _NoStages()
CURRENT: ContextVar[Stages] = ContextVar("stages", default=_NO_STAGES)


def current() -> Stages:
    """The stages of the current request; outside of requests, marks are ignored."""
    return CURRENT.get()
