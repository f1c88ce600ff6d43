"""A score as a sum in words: base, reasons, everything else, and the score.

Each number is rounded as it is shown, and everything else is what is missing from the shown numbers. So a
reader who adds them up arrives at the shown score.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.explain.words import counted, money, money_digits

_POINT = 0.01


def rounded_points(share: float) -> float:
    """Points of probability as they are shown: whole ones, and tenths below one."""
    points = share / _POINT
    return round(points, 0 if abs(points) >= 0.95 else 1)


def rounded_money(amount: float) -> float:
    """An amount as it is shown."""
    return round(amount, money_digits(amount))


def signed(value: float, amount: str) -> str:
    """An amount with the sign of a contribution."""
    return f"{'+' if value > 0 else '−'}{amount}"


def sum_of_points(
    base: float, contributions: Sequence[float], words: Sequence[str], score: float
) -> tuple[str, ...]:
    """The lines of a probability.

    Args:
        contributions: those of the reasons, and ``words`` the reasons' texts.
    """
    start, end = (round(100 * share, 1) for share in (base, score))
    rest = round(end - start - sum(map(rounded_points, contributions)), 1)
    others = signed(rest, counted(abs(rest), "points")) if rest else None
    return _lines(f"{start:.1f}%", words, others, f"{end:.1f}%")


def sum_of_money(
    base: float, contributions: Sequence[float], words: Sequence[str], score: float, currency: str
) -> tuple[str, ...]:
    """The lines of an amount of money; see :func:`sum_of_points`."""
    rest = round(rounded_money(score) - rounded_money(base) - sum(map(rounded_money, contributions)), 2)
    digits = 0 if rest == round(rest) else 2
    others = signed(rest, f"{abs(rest):,.{digits}f} {currency}") if rest else None
    return _lines(money(base, currency), words, others, money(score, currency))


def _lines(base: str, reasons: Sequence[str], others: str | None, score: str) -> tuple[str, ...]:
    rest = [] if others is None else [f"Everything else: {others}"]
    return (f"Before anything is known of the customer: {base}", *reasons, *rest, f"Together: {score}")
