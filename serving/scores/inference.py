"""Scores of customers whose features were read: by champions, and by their challengers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.estimator import Array
from models.registry.bundle import FittedModel
from models.registry.challenges import in_challenger_share
from models.registry.encoding import matrix
from models.registry.row_score import score_row
from records.batches import AMOUNT_FIELDS
from serving.scores.champions import Champions
from serving.scores.feature_reads import Fetched
from serving.scores.score import Score, ScoredCustomer

UNKNOWN = "unknown customer: no event has named this id"
UNBUILT = "no features yet: they are made by the next `patron build`"
_NO_AMOUNTS: tuple[float | None, ...] = (None,) * len(AMOUNT_FIELDS)
MAX_ROWS = 8  # customers who are scored one by one; for 16, arrays take as long
DEFAULT = "the model's default: nothing is known of this customer while a store is unavailable"


def predict(
    champions: Champions, names: Sequence[str], columns: dict[str, list[Any]], keys: Sequence[int]
) -> list[list[Score]]:
    """The scores of customers, per model.

    Args:
        columns: the features of the customers ``keys``, by name.
    """
    matrices: dict[str, Array] = {}
    by_model = []
    for name in names:
        model = champions.models.get(name)
        if model is None:
            by_model.append([Score(None, reason=champions.unavailable[name])] * len(keys))
        elif not keys:
            by_model.append([])
        else:
            first = champions.alike[name]
            if first not in matrices:
                matrices[first] = matrix(model.columns, columns)
            x = matrices[first]
            if len(keys) <= MAX_ROWS and name not in champions.challengers:
                by_model.append(_scores_of_rows(model, columns, x))
            else:
                by_model.append(_with_challenger(champions, model, columns, x, model.score_matrix(x), keys))
    return by_model


def _scores_of_rows(model: FittedModel, columns: dict[str, list[Any]], x: Array) -> list[Score]:
    """The same as :func:`scores_of` for few customers, row by row."""
    scores = []
    for row, refusal in zip(x, model.refusals(columns), strict=True):
        if refusal:
            scores.append(Score(None, version=model.version, reason=refusal))
        else:
            score, percentile, *amounts = score_row(model, row)
            scores.append(Score(score, round(percentile, 1), model.version, None, None, *amounts))
    return scores


def _with_challenger(
    champions: Champions,
    model: FittedModel,
    columns: dict[str, list[Any]],
    x: Array,
    scores: Array,
    keys: Sequence[int],
) -> list[Score]:
    """A champion's scores, or those of its challenger for the challenger's share of the customers."""
    champion_scores, name = scores_of(model, columns, x, scores), model.name
    if name not in champions.challengers:
        return champion_scores
    challenger = champions.challengers[name]
    challenger_values = challenger.scores(columns, scores)
    if challenger_values is None:
        return champion_scores
    version, share = challenger.model.version, challenger.challenge.share
    if challenger.model.columns != model.columns:
        x = matrix(challenger.model.columns, columns)
    challenger_scores = scores_of(challenger.model, columns, x, challenger_values)
    return [
        theirs._replace(shadow=own)
        if in_challenger_share(name, version, key, share)
        else own._replace(shadow=theirs)
        for key, own, theirs in zip(keys, champion_scores, challenger_scores, strict=True)
    ]


def scores_of(model: FittedModel, columns: dict[str, list[Any]], x: Array, scores: Array) -> list[Score]:
    """A version's values as scores; customers who are not eligible get the reason.

    Args:
        x: the matrix of the version's columns that ``scores`` are computed from.
    """
    return [
        Score(None, version=model.version, reason=refusal)
        if refusal
        else Score(score, round(percentile, 1), model.version, None, None, *amounts)
        for score, percentile, refusal, amounts in zip(
            scores.tolist(),
            model.percentiles(scores).tolist(),
            model.refusals(columns),
            amounts_of(model, x, scores),
            strict=True,
        )
    ]


def amounts_of(model: FittedModel, x: Array, scores: Array) -> list[tuple[float | None, ...]]:
    """Of each score the interval and the two parts, in the order of ``AMOUNT_FIELDS``; None without them."""
    parts = model.parts(x, scores)
    pairs = (model.interval(scores, parts), parts)
    if pairs == (None, None):
        return [_NO_AMOUNTS] * len(scores)
    none = [None] * len(scores)
    columns = [(none, none) if pair is None else (pair[0].tolist(), pair[1].tolist()) for pair in pairs]
    return list(zip(*columns[0], *columns[1], strict=True))


def without_features(
    customer_id: str, key: int | None, fetched: Fetched, champions: Champions, names: Sequence[str]
) -> ScoredCustomer:
    """A customer without features: the models' defaults while a store is unavailable, else the reason."""
    degraded, models = fetched.degraded.get(customer_id), champions.models
    if degraded is not None:
        scores = {name: _default(champions, name) for name in names}
        known = None if key is None else True
        return ScoredCustomer(customer_id, known, None, None, scores, (), degraded, models=models)
    reason = UNKNOWN if key is None else UNBUILT
    scores = {name: Score(None, reason=champions.unavailable.get(name, reason)) for name in names}
    return ScoredCustomer(customer_id, key is not None, reason, None, scores, models=models)


def _default(champions: Champions, name: str) -> Score:
    if name not in champions.models:
        return Score(None, reason=champions.unavailable[name])
    model = champions.models[name]
    return Score(model.default_score, None, model.version, DEFAULT)
