"""The prices of budgets, which reduce the priority of the actions that use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BudgetPrice:
    """What one more unit of a budget would bring.

    Attributes:
        kind: ``money`` or ``contacts``. price: in currency, per unit of currency or per contact.
        actions: the names of the actions that use the budget.
    """

    name: str
    kind: Literal["money", "contacts"]
    price: float
    actions: frozenset[str]


def price_of(action: str, expense: float, prices: Sequence[BudgetPrice]) -> float:
    """What a contact by an action uses of the budgets, at their prices, in currency.

    Args:
        expense: the money that the contact is expected to cost, discounts included.
    """
    used = (p.price * (expense if p.kind == "money" else 1.0) for p in prices if action in p.actions)
    return float(sum(used))
