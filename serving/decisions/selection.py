"""The customers of a run: those of a segment, or all, who match a rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

CHUNK = 100_000  # keys per query


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


def select_keys(scorer: Scorer, segment: Segment, rule: Rule | None = None) -> NDArray[np.int64]:
    """The keys of the customers of a segment, or all, who match a rule, in order; those without an id are not
    among them.

    Raises:
        Unprocessable: there is no such segment; the text says which there are. Or the rule reads scores, and
            all customers were never scored.
    """
    keys = np.concatenate([np.zeros(0, np.int64), *scorer.identity.everyone(CHUNK)])
    if segment is not None:
        try:
            keys = np.intersect1d(keys, members(scorer.home, filters_of(segment)), assume_unique=True)
        except NoSuchSegment as error:
            raise Unprocessable(f"segment: {error}") from error
    return keys if rule is None else np.intersect1d(keys, _matching(scorer.home, rule), assume_unique=True)


def _matching(home: Home, rule: Rule) -> NDArray[np.int64]:
    """The keys of the customers who match a rule, in order."""
    everybody = load_everybody(home, terms(rule))
    if everybody.unscored:
        raise Unprocessable(
            f"rule: it reads scores of {', '.join(everybody.unscored)}, and all customers were never scored;"
            " run `patron score`, or POST /v1/score-jobs"
        )
    return everybody.keys[everybody.matching({"rule": rule})["rule"]]
