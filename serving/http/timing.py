"""Where the time of a request goes: stages that follow one another, told as ``Server-Timing``."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter


class Stages:
    """The stages of one request, by name, in order and in seconds: together the time until the last mark."""

    __slots__ = ("last", "seconds", "started")

    def __init__(self) -> None:
        self.started = self.last = perf_counter()
        self.seconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """The time since the last mark belongs to this stage, which may have had some before."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now

    def header(self) -> bytes:
        """The stages and their total, in milliseconds, as the header ``Server-Timing`` holds them."""
        durations = [f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in self.seconds.items()]
        return ", ".join([*durations, f"total;dur={(perf_counter() - self.started) * 1e3:.2f}"]).encode()


class _NoStages(Stages):
    """What is marked where no request is answered: nobody asks for it."""

    __slots__ = ()

    def mark(self, stage: str) -> None:
        """Nothing."""


_NO_STAGES = _NoStages()
CURRENT: ContextVar[Stages] = ContextVar("stages", default=_NO_STAGES)


def current() -> Stages:
    """The stages of the request that is answered; outside of any, marks go nowhere."""
    return CURRENT.get()
