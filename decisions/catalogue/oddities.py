"""Oddities of a catalogue: what is written rightly, and is hardly meant.

A catalogue with oddities is used. They are shown by ``patron actions``, ``GET /v1/actions`` and
``patron recommend``, with how many customers fit now.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc

from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.oddity import Oddity
from decisions.everybody import Everybody
from decisions.offers import DISCOUNT
from decisions.reasons import Language
from decisions.rules.evaluation import RuleInput, evaluate
from decisions.rules.tree import All, Rule, TermComparison, terms, walk
from features.groups.segment_rules import current_name

LOWER_IS_BETTER = ("churn", "subscription_churn")
CHANNELS = ("email", "sms", "app", "push", "phone", "post", "web", "whatsapp", "wechat", "store")
MAX_VALUES = 20  # listed in a message
_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "in": "="}


@dataclass(frozen=True)
class CatalogueReview:
    """A catalogue with the number of customers who fit each action now, and its oddities.

    Attributes:
        fits: by action; empty if nothing was built yet.
        customers: how many there are; None if nothing was built yet.
    """

    fits: Mapping[str, int]
    customers: int | None
    oddities: tuple[Oddity, ...]


def review(actions: Actions, today: int, everybody: Everybody | None) -> CatalogueReview:
    """The review of a catalogue on a day of the shop; without counts if ``everybody`` is None."""
    inside = {} if everybody is None else everybody.matching(actions.targets)
    fits = {name: int(np.count_nonzero(mask)) for name, mask in inside.items()}
    customers = None if everybody is None else len(everybody.table)
    renamed = actions.holdout_share is None and actions.control_share
    oddities = [Oddity("control_share")] if renamed else []
    for action in actions.actions:
        for code, values in _of_action(action, actions, today, everybody, fits):
            oddities.append(Oddity(code, action.name, values, fits.get(action.name), customers))
    if all(action.is_over(today) for action in actions.actions):
        oddities.append(Oddity("all_over"))
    for limit in actions.limits:
        for kind, name, there in (
            ("channel", limit.channel, {action.channel for action in actions.actions}),
            ("group", limit.group, {action.group for action in actions.actions}),
        ):
            if name is not None and name not in there:
                oddities.append(Oddity("unused_limit", None, {"kind": kind, "name": name}))
    return CatalogueReview(fits, customers, tuple(oddities))


def _of_action(
    action: Action, actions: Actions, today: int, everybody: Everybody | None, fits: Mapping[str, int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if action.is_over(today):
        yield "over", {"end": action.end}
    for language in get_args(Language) if action.text else ():
        if language not in action.text:
            yield "missing_text", {"language": language}
    if DISCOUNT in action.placeholders and not action.discount:
        yield "no_discount", {}
    if direction := _harm(action):
        yield "harmful_effect", {"model": action.effect.on, "direction": direction}
    if action.discount > actions.margin:
        yield "discount_above_margin", {"discount": action.discount, "margin": actions.margin}
    if similar := _similar_channel(action, actions):
        yield "channel_typo", {"channel": action.channel, "similar": similar}
    rule = actions.targets[action.name]
    contradictions = [*_contradictions(rule)]
    for feature, conditions in contradictions:
        yield "contradiction", {"feature": feature, "conditions": conditions}
    if everybody is None:
        return
    strange = [*_values_nobody_has(rule, everybody)]
    for values in strange:
        yield "value_nobody_has", values
    unscored = sorted({term.name for term in terms(rule) if term.is_score} & {*everybody.unscored})
    for model in unscored:
        yield "no_scores", {"model": model}
    if not (fits[action.name] or contradictions or strange or unscored):
        yield "nobody_fits", {}


def _harm(action: Action) -> str | None:
    """How the declared effect harms: by lowering what should be high, or raising what should be low."""
    effect = action.effect
    lowers = effect.times <= 1 and effect.plus <= 0 and (effect.times < 1 or effect.plus < 0)
    raises = effect.times >= 1 and effect.plus >= 0 and (effect.times > 1 or effect.plus > 0)
    if effect.on in LOWER_IS_BETTER:
        return "raise" if raises else None
    return "lower" if lowers else None


def _similar_channel(action: Action, actions: Actions) -> str | None:
    """A channel for which the action's may be a slip of the pen."""
    used = {other.channel for other in actions.actions if other.name != action.name}
    if action.channel in {*used, *actions.channels, *CHANNELS}:
        return None
    similar = difflib.get_close_matches(action.channel, sorted({*used, *actions.channels, *CHANNELS}), n=1)
    return similar[0] if similar else None


def _contradictions(rule: Rule) -> Iterator[tuple[str, list[tuple[str, Sequence[Any]]]]]:
    """The terms whose comparisons inside one conjunction exclude each other, with these comparisons."""
    for part in walk(rule):
        if not isinstance(part, All):
            continue
        by_term: dict[str, list[TermComparison]] = {}
        for comparison in part.rules:
            if isinstance(comparison, TermComparison):
                by_term.setdefault(comparison.term.name, []).append(comparison)
        for name, comparisons in by_term.items():
            if len(comparisons) > 1 and _excludes(comparisons):
                yield name, [(_SIGNS[c.operator], c.values) for c in comparisons]


def _excludes(comparisons: Sequence[TermComparison]) -> bool:
    """Whether no value satisfies all of the comparisons of one term."""
    sets = [set(c.values) for c in comparisons if c.operator == "in"]
    if sets:
        candidates = set.intersection(*sets)
    else:
        low = max((c.values[0] for c in comparisons if c.operator in (">", ">=")), default=-math.inf)
        high = min((c.values[0] for c in comparisons if c.operator in ("<", "<=")), default=math.inf)
        if low < high:  # type: ignore[operator]
            return False
        candidates = {low} & {high}
    return not any(
        all(evaluate(c, RuleInput({c.term.name: value}, {}, 0, 0)) for c in comparisons)
        for value in candidates
    )


def _values_nobody_has(rule: Rule, everybody: Everybody) -> Iterator[dict[str, Any]]:
    for part in walk(rule):
        if not isinstance(part, TermComparison) or part.term.dtype != "string":
            continue
        name = part.term.name
        there = {
            current_name(name, unicodedata.normalize("NFC", value))
            for value in pc.unique(everybody.table[name]).to_pylist()
            if value is not None
        }
        for value in part.values:
            if value not in there:
                yield {"feature": name, "value": value, "values": _existing(str(value), there)}


def _existing(value: str, there: set[str]) -> str:
    """What to write instead: a similar value, or the values that exist."""
    folded = {name.casefold(): name for name in there}
    similar = difflib.get_close_matches(value.casefold(), folded, n=1)
    if similar:
        return f"; did you mean {folded[similar[0]]}?"
    return f"; there are {', '.join(sorted(there))}" if 0 < len(there) <= MAX_VALUES else ""
