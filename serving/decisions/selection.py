"""The customers of a run: those of a segment, or all, who match a rule."""

from __future__ import annotations

from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.saved_audiences import audience_rules
from decisions.everybody import load_everybody
from decisions.rules.conditions import rule_of
from decisions.rules.tree import Rule, terms, with_audiences
from decisions.rules.vocabulary import RuleError
from features.groups import features_of
from features.offline.current import NoSuchSegment, members
from records.job import Segment, filters_of
from serving.http.problems import Unprocessable
from serving.scores.scorer import Scorer


def read_rule(home: Home, actions: Actions, text: str | None) -> Rule | None:
    """The rule of a request, which can name audiences; None for no rule.

    Raises:
        Unprocessable: it is no rule; the text says where, and what is expected.
    """
    if text is None:
        return None
    audiences = audience_rules(home, actions)
    try:
        rule = rule_of(text, features_of(home), [*audiences])
    except RuleError as error:
        raise Unprocessable(f"rule: {error}") from error
    return with_audiences(rule, audiences.__getitem__)


def select_customers(scorer: Scorer, segment: Segment, rule: Rule | None = None) -> dict[int, str]:
    """The customers of a segment, or all, who match a rule: external ids by key, by key.

    Raises:
        Unprocessable: there is no such segment; the text says which there are. Or the rule reads scores, and
            all customers were never scored.
    """
    table = scorer.identity.table()
    ids = dict(zip(table["customer_key"].to_pylist(), table["customer_id"].to_pylist(), strict=True))
    if segment is not None:
        try:
            inside = members(scorer.home, filters_of(segment)).tolist()
        except NoSuchSegment as error:
            raise Unprocessable(f"segment: {error}") from error
        ids = {key: ids[key] for key in inside if key in ids}
    if rule is None:
        return ids
    return {key: ids[key] for key in _matching(scorer.home, rule) if key in ids}


def _matching(home: Home, rule: Rule) -> list[int]:
    """The keys of the customers who match a rule, in order."""
    everybody = load_everybody(home, terms(rule))
    if everybody.unscored:
        raise Unprocessable(
            f"rule: it reads scores of {', '.join(everybody.unscored)}, and all customers were never scored;"
            " run `patron score`, or POST /v1/score-jobs"
        )
    keys: list[int] = everybody.keys[everybody.matching({"rule": rule})["rule"]].tolist()
    return keys
