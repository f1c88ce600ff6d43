"""Interleaved rounds: each side is measured in turn, again and again, and its median is taken.

On a machine that others use too, both sides of a ratio then meet the same neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import TypeVar

T = TypeVar("T")
Measured = Mapping[str, float]
"""Measure → value."""


def interleaved(sides: Mapping[str, Callable[[int], Measured]], rounds: int) -> dict[str, dict[str, float]]:
    """Measure every side once per round, each round beginning with another one.

    Args:
        sides: per side a function of the round's number that measures it once.

    Returns:
        Side → measure → the median over the rounds.
    """
    names = list(sides)
    taken: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            taken[name].append(sides[name](number))
    return {name: _medians(measured) for name, measured in taken.items()}


def _medians(measured: Sequence[Measured]) -> dict[str, float]:
    return {measure: median(m[measure] for m in measured) for measure in measured[0]}


def apart(work: Callable[[], T]) -> T:
    """Do it in a new process, whose memory is its own and is given back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()
