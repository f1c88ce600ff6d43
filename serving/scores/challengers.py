"""Challengers in a serving process: their scores, and the conditions that end a challenge."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.estimator import Array
from models.registry.bundle import FittedModel
from models.registry.challenges import Challenge

MAX_ERRORS = 3
WINDOW = 200  # customers between two comparisons


@dataclass
class Watch:
    """Counts the errors and differences of a challenger in one process; threads may share it.

    Attributes:
        ended_because: why the challenge must end; empty until then.
    """

    bound: float
    money: bool
    ended_because: str = ""
    _errors: int = 0
    _count: int = 0
    _apart: float = 0.0
    _champion: float = 0.0
    _challenger: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count_error(self, kind: str) -> None:
        """Count a failure to score."""
        with self._lock:
            self._errors += 1
            if self._errors >= MAX_ERRORS and not self.ended_because:
                self.ended_because = f"it failed {self._errors} times, at last by {kind}"

    def compare(self, champion: Array, challenger: Array) -> None:
        """Compare the scores that both gave to the same customers."""
        with self._lock:
            self._count += len(champion)
            self._apart += float(np.abs(champion - challenger).sum())
            self._champion += float(champion.sum())
            self._challenger += float(challenger.sum())
            if self._count >= WINDOW:
                self._judge()
                self._count, self._apart, self._champion, self._challenger = 0, 0.0, 0.0, 0.0

    def _judge(self) -> None:
        if self.money:
            total = max(abs(self._champion), 1e-9)
            strays, words = abs(self._challenger - self._champion) / total, "its total differed by a share of"
        else:
            strays, words = self._apart / self._count, "it differed on average by"
        if strays > self.bound and not self.ended_because:
            self.ended_because = (
                f"{words} {strays:.3g}, and the bound is {self.bound:g} ({self._count} customers)"
            )


@dataclass(frozen=True)
class Challenger:
    """A version that scores the same customers as the champion."""

    challenge: Challenge
    model: FittedModel
    watch: Watch

    def scores(self, columns: dict[str, list[Any]], champion: Array) -> Array | None:
        """Its scores of customers whom the champion scored; None if it fails or must end."""
        if self.watch.ended_because:
            return None
        try:
            scores = self.model.score(columns)
            if not np.isfinite(scores).all():
                raise ArithmeticError("a score is no number")
        except Exception as error:  # the champion's scores are used after any error
            self.watch.count_error(type(error).__name__)
            return None
        self.watch.compare(champion, scores)
        return scores


def challenger_of(model: FittedModel, challenge: Challenge) -> Challenger:
    """A version as a challenger, with nothing counted yet."""
    return Challenger(challenge, model, Watch(challenge.bound, model.manifest["kind"] == "money"))
