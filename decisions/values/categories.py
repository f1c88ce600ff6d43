"""Names of what effects on category propensity read: a score, and what an order of the category brings.

An effect names its category, or none: then it is on the category that the customer orders from most probably.
"""

from __future__ import annotations

KIND = "category"
"""The ``on`` of effects on category propensity."""
PROBABLE_CATEGORY = "most_probable_category"
"""The fact that names the customer's most probable category."""
_AMOUNT = "category_order_value"


def score_name(category: str | None) -> str:
    """The score: the probability of an order of a category, or of the most probable one for None."""
    return KIND if category is None else f"{KIND}:{category}"


def amount_name(category: str | None) -> str:
    """The fact: currency that the customer's average order of the category brings from it."""
    return _AMOUNT if category is None else f"{_AMOUNT}:{category}"
