"""The catalogue of a home as plain data: actions, audiences and channels, with who fits now and oddities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import NothingThere, PatronError
from core.home import Home
from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.file import load, parse
from decisions.catalogue.oddities import CatalogueReview, review
from decisions.everybody import Everybody, load_everybody
from decisions.rules.tree import AnyOf, Known, Not, Rule, Term, TermComparison, all_of, terms
from decisions.rules.writing import text_of
from features.groups import features_of

CLV = Term("clv", "float64", is_score=True)
REFUSALS: Mapping[str, tuple[str, ...]] = {"email": ("unsubscribed_email", "marked_as_spam")}
"""By channel, the features that are true for customers who refused messages."""
CONSENTS: Mapping[str, str] = {"email": "newsletter"}
"""By channel, the feature that is true for customers who consented."""


def listing(home: Home, file: Path | None = None) -> dict[str, Any]:
    """The catalogue of a home, or the one in a file.

    Raises:
        NothingThere: there is no ``actions.toml``, and no file was named.
        PatronError: the file is invalid, or the features of all customers cannot be read.
    """
    actions = load(home) if file is None else parse(_content(file), str(file), features_of(home))
    return describe(home, actions)


def describe(home: Home, actions: Actions) -> dict[str, Any]:
    """A catalogue with the number of customers who fit each action and audience now."""
    reach = {name: _reachable(actions, name, home) for name in actions.channel_names}
    audiences = actions.audience_rules
    read = [CLV]
    for rule in (*actions.targets.values(), *audiences.values(), *reach.values()):
        read += terms(rule)
    try:
        everybody = load_everybody(home, read)
    except NothingThere:
        everybody = None
    today = home.shop().today()
    reviewed = review(actions, today, everybody)
    return {
        "digest": actions.digest,
        "customers": reviewed.customers,
        "as_of": None if everybody is None else everybody.as_of.isoformat(),
        "actions": [_action(action, today, reviewed) for action in actions.actions],
        "channels": {
            name: actions.channels[name].model_dump(mode="json") if name in actions.channels else None
            for name in sorted({*actions.channel_names, *actions.channels})
        },
        "audiences": _audiences(actions, audiences, reach, everybody),
        "warnings": [
            {"action": oddity.action, "code": oddity.code, "en": oddity.words("en"), "zh": oddity.words("zh")}
            for oddity in reviewed.oddities
        ],
    }


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PatronError(f"{file} cannot be read ({error.strerror})") from error


def _action(action: Action, today: int, reviewed: CatalogueReview) -> dict[str, Any]:
    state = "over" if action.is_over(today) else "not started" if action.is_early(today) else "active"
    settings = action.model_dump(mode="json", exclude={"who", "rule"})
    extra = {"group": action.group, "start": action.start, "end": action.end, "goal": action.goal}
    dates = {name: value if value is None else str(value) for name, value in extra.items()}
    rule = text_of(action.condition) or None
    return settings | dates | {"rule": rule, "state": state, "fits": reviewed.fits.get(action.name)}


def _audiences(
    actions: Actions,
    rules: Mapping[str, Rule],
    reach: Mapping[str, Rule],
    everybody: Everybody | None,
) -> list[dict[str, Any]]:
    """Each audience with its size, its value (the sum of clv) and how many of it a channel reaches."""
    inside = {} if everybody is None else everybody.matching(rules)
    reachable = {} if everybody is None else everybody.matching(reach)
    clv = None
    if everybody is not None and CLV.name not in everybody.unscored:
        clv = np.asarray(everybody.table[CLV.name].fill_null(0.0), float)
    return [
        {
            "name": name,
            "rule": text_of(audience.rule),
            "text": dict(audience.text),
            "customers": int(np.count_nonzero(inside[name])) if inside else None,
            "clv": None if clv is None else round(float(np.nansum(clv[inside[name]])), 2),
            "reach": {c: int(np.count_nonzero(inside[name] & mask)) for c, mask in reachable.items()} or None,
        }
        for name, audience in actions.audiences.items()
    ]


def _reachable(actions: Actions, channel: str, home: Home) -> Rule:
    """Whom a channel reaches, by features as of the last build.

    Those with an address, where it is declared, who did not refuse, and consented, where that is required.
    """
    known = features_of(home)
    parts: list[Rule] = []
    declared = actions.channels.get(channel)
    if declared is not None and declared.address is not None:
        trait = next((t.feature for t in home.traits() if t.trait == declared.address), None)
        if trait in known:
            parts.append(Known(Term(str(trait), known[str(trait)].dtype)))
    if declared is not None and declared.consent == "required" and channel in CONSENTS:
        parts.append(TermComparison(Term(CONSENTS[channel], "boolean"), "in", (True,)))
    for name in REFUSALS.get(channel, ()):
        term = Term(name, "boolean")
        parts.append(AnyOf((Not(Known(term)), Not(TermComparison(term, "in", (True,))))))
    return all_of(parts)
