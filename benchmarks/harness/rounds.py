"""Interleaved rounds: the sides are measured in turn, repeatedly, and the medians are compared.

On a shared machine both sides of a ratio are thus measured under the same load.
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
        sides: per side a function that takes the round's number and measures it once.

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
    """Run a function in a new process, so that its memory is separate and is released."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()
