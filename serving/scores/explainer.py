"""Explains scores in a thread of its own, so that scores do not wait for explanations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from msgspec import structs

from core.calendar import moment
from core.storage.database import Database
from features.group import Feature
from features.groups import FEATURES, features_of
from models.explain.reasons import explain
from models.explain.words import rank
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix
from models.registry.registry import Registry
from records.requests import lookup
from serving.http.single_worker import SingleWorker
from serving.scores.inference import amounts_of
from serving.scores.response import score_as_response
from serving.scores.schemas import Basis, ExplainedPrediction, ExplainedScore
from serving.scores.score import Score, ScoredCustomer
from serving.scores.scorer import Scorer

VERSIONS_KEPT = 8


class Explainer(SingleWorker):
    """Explains scores, with the response and later from the log."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__("explanations")
        self._scorer, self._database = scorer, Database(scorer.home)
        self._open = lru_cache(VERSIONS_KEPT)(lambda name, version: self._registry.open(name, version))

    def explain(self, entry: ScoredCustomer, context: Collection[str]) -> dict[str, Any]:
        """The scores of a customer with their reasons, and the features that they are computed from.

        Args:
            context: the names of the features in the request.
        """
        if entry.features_as_of is None:  # defaults, or reasons why there are none
            return {"features": {}}
        models = {name: entry.models[name] for name in entry.scores if name in entry.models}
        moments = {group: column[entry.index] for group, column in entry.moments.items()}
        as_of = {group: None if at is None else moment(at) for group, at in moments.items()}
        return {
            "scores": self._explained(entry.scores, models, entry.facts),
            "features": self._features(models, entry.facts, as_of, context),
        }

    def explain_logged(self, prediction_id: str) -> ExplainedPrediction | None:
        """The explanation of a logged prediction, by the versions that made it; None if it is not in the log.

        Raises:
            PatronError: the log or a version cannot be read.
        """
        prediction = lookup.find(self._database, prediction_id)
        if prediction is None:
            return None
        models = {
            name: self._open(name, answer["version"])
            for name, answer in prediction.answers.items()
            if answer["version"]
        }
        scores = {
            name: _score(models.get(name), prediction, answer) for name, answer in prediction.answers.items()
        }
        return ExplainedPrediction(
            prediction_id=prediction_id,
            customer_id=self._scorer.identity.ids([prediction.customer_key]).get(prediction.customer_key),
            answered_at=prediction.at,
            features_as_of=prediction.as_of,
            scores=self._explained(scores, models, prediction.values),
            features=self._features(models, prediction.values, prediction.moments, prediction.context),
        )

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._scorer.home)

    def _explained(
        self, scores: Mapping[str, Score], models: Mapping[str, FittedModel], values: Mapping[str, Any]
    ) -> dict[str, ExplainedScore]:
        currency, known = self._scorer.shop.currency, features_of(self._scorer.home)
        return {
            name: explained(score, models.get(name), values, currency, known)
            for name, score in scores.items()
        }

    def _features(
        self,
        models: Mapping[str, FittedModel],
        values: Mapping[str, Any],
        as_of: Mapping[str, datetime | None],
        context: Collection[str],
    ) -> dict[str, Basis]:
        """The features that the models read: each value, and its as_of."""
        groups = self._scorer.champions.groups
        names = dict.fromkeys(name for model in models.values() for name in model.features)
        return {
            name: Basis(value=values[name], from_request=True, as_of=None)
            if name in context
            else Basis(value=values[name], from_request=False, as_of=as_of.get(groups.get(name, "")))
            for name in names
        }


def explained(
    score: Score,
    model: FittedModel | None,
    values: Mapping[str, Any],
    currency: str,
    known: Mapping[str, Feature] = FEATURES,
) -> ExplainedScore:
    """A score with its reasons, if there is a score.

    Args:
        model: the version that computed it.
        values: the features that it is computed from, by name.
        known: the shop's features by name, for their meanings.
    """
    if score.score is None or model is None:
        return ExplainedScore(**structs.asdict(score_as_response(score)))
    in_words = None if score.percentile is None else rank(score.percentile)
    explanation = asdict(explain(model, values, currency, known=known))
    return ExplainedScore(**structs.asdict(score_as_response(score)), rank=in_words, **explanation)


def _score(
    model: FittedModel | None, prediction: lookup.LoggedPrediction, answer: Mapping[str, Any]
) -> Score:
    """A logged score as it was in the response."""
    if model is None:
        return Score(None, reason="the model had no champion")
    columns = {name: [value] for name, value in prediction.values.items()}
    if answer["score"] is None:
        return Score(None, version=model.version, reason=model.refusals(columns)[0])
    scores = np.array([answer["score"]])
    percentile = round(float(model.percentiles(scores)[0]), 1)
    (amounts,) = amounts_of(model, matrix(model.columns, columns), scores)
    return Score(answer["score"], percentile, model.version, None, None, *amounts)
