"""Rules and audiences for pages: a list or a size by a hidden feature would tell its values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from console.page import Visit
from console.personal.masks import is_personal
from core.errors import NothingThere
from decisions.catalogue import audience_sizes
from decisions.catalogue.saved_audiences import audience_rules, load_declared, validated
from decisions.rules.tree import Rule, terms
from features.groups import features_of
from serving.audiences.reach import CurrentReach
from serving.http.problems import Unprocessable


def refuse_personal_features(visit: Visit, names: Collection[str]) -> None:
    """Refuse to choose customers by features that the visitor may not see.

    Raises:
        Unprocessable: there is such a feature; the text names it.
    """
    if hidden := _hidden(visit, names):
        raise Unprocessable(visit.words("personal.no_feature", names=", ".join(hidden)))


def size_of(visit: Visit, rule: str) -> dict[str, Any]:
    """The audience that a rule would be, see :func:`decisions.catalogue.audience_sizes.size_of`.

    Raises:
        Unprocessable: the rule reads a feature that the visitor may not see.
    """
    if visit.is_masked:
        _, tree = validated(visit.home, load_declared(visit.home), {"rule": rule})
        refuse_personal_features(visit, _features(tree))
    return audience_sizes.size_of(visit.home, {"rule": rule}, visit.services[CurrentReach])


def list_audiences(visit: Visit, name: str | None = None) -> dict[str, Any]:
    """All audiences, or one, without those whose rules read a feature that the visitor may not see.

    Raises:
        NothingThere: there is no such audience for the visitor.
    """
    hidden = hidden_audiences(visit)
    if name in hidden:
        raise NothingThere("there is no such audience")
    listed = audience_sizes.list_audiences(visit.home, name, visit.services[CurrentReach])
    return listed | {"audiences": [a for a in listed["audiences"] if a["name"] not in hidden]}


def hidden_audiences(visit: Visit) -> set[str]:
    """The names of the audiences whose rules read a feature that the visitor may not see."""
    if not visit.is_masked:
        return set()
    rules = audience_rules(visit.home, load_declared(visit.home))
    return {name for name, rule in rules.items() if _hidden(visit, _features(rule))}


def _features(rule: Rule) -> set[str]:
    return {term.name for term in terms(rule) if not term.is_score}


def _hidden(visit: Visit, names: Collection[str]) -> list[str]:
    known = features_of(visit.home)
    return sorted(n for n in names if visit.is_masked and n in known and is_personal(known[n]))
