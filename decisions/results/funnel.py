"""The funnel of actions: how many customers of a run reach each stage, and what became of contacts.

For each action, a customer is lost at the first stage that the action does not reach for them; those who
pass all checks are *within budget*. For the customers of ``won`` the action was chosen. Customers of the
holdout for whom it would have been chosen are counted apart, as ``withheld``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from decisions.checks import STAGES
from decisions.reasons import Language

REACHED: tuple[str, ...] = (*STAGES, "won")
_WORDS: Mapping[str, tuple[str, str]] = {
    "eligible": ("eligible", "符合条件"),
    "suitable": ("suitable", "适合"),
    "consented": ("consented", "同意接收"),
    "within_limits": ("within limits", "未超联系上限"),
    "within_budget": ("within budget", "预算之内"),
    "won": ("won", "被选中"),
}


@dataclass
class FunnelCounter:
    """Counts decisions by action and stage.

    Attributes:
        customers: how many decisions were counted.
        lost: by action and stage, for how many customers the action did not reach the stage.
        won: by action, for how many it was chosen. withheld: of the holdout, for how many it would have been.
    """

    customers: int = 0
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    won: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)

    def add(self, action: str, reasons: Mapping[str, Any]) -> None:
        """Count the decision for a customer.

        Args:
            action: the chosen one. reasons: of the decision, as the log stores them.
        """
        self.customers += 1
        self.won[action] += 1
        if withheld := reasons.get("withheld"):
            self.withheld[withheld] += 1
        self.lost.update((name, stage) for name, stage in reasons.get("stages", {}).items() if stage)

    def by_action(self, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """The customers who reach each stage of ``REACHED``, and ``withheld``, for these actions."""
        funnels = {}
        for name in names:
            left, funnel = self.customers, {}
            for stage in STAGES:
                left -= self.lost[name, stage]
                funnel[stage] = left
            funnels[name] = funnel | {"won": self.won[name], "withheld": self.withheld[name]}
        return funnels


def describe(
    customers: int, funnel: Mapping[str, int], contacts: Mapping[str, int], days: int, language: Language
) -> str:
    """The funnel of an action as a sentence.

    Args:
        contacts: ``sent`` and ``accepted`` within the last ``days``.
    """
    zh = language == "zh"
    parts: Sequence[str] = [
        f"{_WORDS[stage][zh]} {funnel[stage]:,}" if zh else f"{funnel[stage]:,} {_WORDS[stage][zh]}"
        for stage in REACHED
    ]
    sent, accepted = contacts["sent"], contacts["accepted"]
    if zh:
        after = f"近 {days} 天已联系 {sent:,} 次，接受 {accepted:,} 次"
        return f"{customers:,} 位客户：{'，'.join(parts)}；{after}"
    after = f"in the last {days} days {sent:,} contacts, {accepted:,} accepted"
    return f"of {customers:,} customers {', '.join(parts)}; {after}"
