"""Scores of customers: models held in memory, features from the online store, answers logged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from core.calendar import day_of, micros
from core.home import Home
from features.catalogue.store import OnlineRows, Reader, Store
from models.registry.bundle import FittedModel
from models.registry.challenges import drawn
from models.registry.encoding import matrix
from models.registry.registry import Registry
from models.spec import Array
from records import Answered, ScoreLog
from serving.http import timing as stages
from serving.scores.champions import Champions, open_champions
from serving.scores.feature_reads import FeatureReader, Fetched

UNKNOWN = "unknown customer: no event has named this id"
UNBUILT = "no features yet: they are made by the next `patron build`"
DEFAULT = "the model's default: nothing is known of this customer while a store is away"
UNHURRIED_S = 5.0


class Score(NamedTuple):
    """One model's answer: a score, or the reason why there is none.

    Attributes:
        low, high: between which money will lie, as the version's intervals have it; None of others.
        beside: what the other version says that was asked too, a challenger or the champion that it
            answers in place of; it is logged and not told.
    """

    score: float | None
    percentile: float | None = None
    version: str | None = None
    reason: str | None = None
    shadow: Score | None = None
    low: float | None = None
    high: float | None = None

    @property
    def told(self) -> dict[str, Any]:
        """It as it is answered."""
        return {
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "percentile": self.percentile,
            "version": self.version,
            "reason": self.reason,
        }

    @property
    def logged(self) -> dict[str, Any]:
        """It as the log holds it."""
        own = {"version": self.version, "score": self.score}
        return own | {"beside": self.shadow.logged} if self.shadow else own


@dataclass(frozen=True, slots=True)
class ScoredCustomer:
    """All answers about one customer, and the moment of the features they rest on.

    Attributes:
        known: None where nobody can tell, since the database is away.
        stale: the groups whose features are older than they may be.
        degraded: why the answer does not rest on what the stores say now; None if it does.
        prediction_id: by which the log has it; None where it was not logged.
        values: of the features that were read, by name, those of all who were asked for.
        moments: by group the as_of of their features, in microseconds since 1970.
        place: of this customer among them.
        models: those that answered, by name.
    """

    customer_id: str
    known: bool | None
    reason: str | None
    features_as_of: datetime | None
    scores: dict[str, Score] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    degraded: str | None = None
    prediction_id: str | None = None
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    moments: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    index: int = 0
    models: Mapping[str, FittedModel] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """The values of the features that were read, by name."""
        return {name: column[self.index] for name, column in self.values.items()}

    @property
    def fresh(self) -> bool:
        """Whether it rests on features that are no older than they may be."""
        return self.features_as_of is not None and not self.stale

    @property
    def told(self) -> dict[str, Any]:
        """It as it is answered."""
        return {
            "customer_id": self.customer_id,
            "known": self.known,
            "reason": self.reason,
            "features_as_of": self.features_as_of,
            "fresh": self.fresh,
            "stale": self.stale,
            "degraded": self.degraded,
            "prediction_id": self.prediction_id,
            "scores": {name: score.told for name, score in self.scores.items()},
        }


Outcomes: TypeAlias = dict[tuple[str, str], int]
"""How many answers of a model, by its name, came out how."""


def count_outcomes(entries: Iterable[ScoredCustomer]) -> Outcomes:
    """What there is to count of answers."""
    counts: Outcomes = {}
    for entry in entries:
        for name, score in entry.scores.items():
            if entry.degraded is not None:
                outcome = "degraded"
            else:
                outcome = "scored" if score.score is not None else "refused" if entry.known else "unknown"
            counts[name, outcome] = counts.get((name, outcome), 0) + 1
    return counts


class Scorer:
    """Answers for customers with the champions of the moment.

    Attributes:
        champions: what answers; others may take their place at any time, so who asks them twice keeps them.
        threads: for models that score many customers side by side.
    """

    def __init__(
        self, home: Home, champions: Champions, log: ScoreLog | None, budget_s: float = UNHURRIED_S
    ) -> None:
        self.home, self.shop = home, home.shop()
        self.feature_reader = FeatureReader(home, budget_s)
        self.identity = self.feature_reader.identity
        self.champions, self.log = champions, log
        self.threads = ThreadPoolExecutor(os.cpu_count(), "models")

    def close(self) -> None:
        """Wait for what was asked of a store and given up, and end the threads."""
        self.feature_reader.close()
        self.threads.shutdown()

    def score(
        self,
        customer_ids: Sequence[str],
        models: Sequence[str] | None = None,
        route: str = "api",
        *,
        facts: bool = False,
        allow_fallback: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> list[ScoredCustomer]:
        """One entry per customer, in order; a customer who is not known gets a reason.

        Args:
            facts: read every feature that the store holds, not only those that the models need.
            context: features that take the place of those that the store has, for all customers.
            whatever_happens: answer by what was last known, or by the models' defaults, where a store fails.

        Raises:
            PatronError: the online store or the customer table is missing or unreadable.
        """
        champions = self.champions
        names = champions.names(models)
        reader = champions.everything if facts else champions.reader(names)
        ask = self.feature_reader.fetch_or_cached if allow_fallback else self.feature_reader.fetch
        found = ask(list(dict.fromkeys(customer_ids)), reader)
        stages.current().mark("read")
        return self.score_fetched(customer_ids, champions, names, reader, found, route, context)

    def score_fetched(
        self,
        customer_ids: Sequence[str],
        champions: Champions,
        names: Sequence[str],
        reader: Reader,
        found: Fetched,
        route: str = "api",
        context: Mapping[str, Any] | None = None,
    ) -> list[ScoredCustomer]:
        """The same of customers whose features were found by a reader of these champions'."""
        marks = stages.current()
        rows = reader.unpack(found.cells)
        values = rows.values
        if context:
            values = values | {name: [value] * len(found.keys) for name, value in context.items()}
        place = {key: i for i, key in enumerate(found.keys.values()) if rows.as_of[i] is not None}
        columns = {name: values[name] for name in champions.reader(names).names} if place else {}
        if len(place) < len(rows.as_of):
            columns = {name: [column[i] for i in place.values()] for name, column in columns.items()}
        marks.mark("assemble")
        answers = _answers(champions, names, columns, list(place))
        by_model = zip(*answers, strict=True)
        by_key = {key: dict(zip(names, row, strict=True)) for key, row in zip(place, by_model, strict=True)}
        marks.mark("predict")
        logged = self._write(route, place, rows, columns, by_key, context) if place else {}
        return self._entries(customer_ids, champions, names, found, rows, values, place, by_key, logged)

    def probe(self) -> None:
        """Read both stores once.

        Raises:
            PatronError: one of them is missing or unreadable.
        """
        self.feature_reader.customers.call_even_if_open(self.identity.keys, [""])
        self.feature_reader.online.call_even_if_open(self.champions.everything, [0])

    def _write(
        self,
        route: str,
        place: Mapping[int, int],
        rows: OnlineRows,
        columns: Mapping[str, list[Any]],
        by_key: Mapping[int, dict[str, Score]],
        context: Mapping[str, Any] | None,
    ) -> dict[int, str]:
        """Log the answers; by key the id of each."""
        if self.log is None:
            return {}
        now, features = self.shop.now(), tuple(columns)
        day = day_of(now, self.shop.time_zone)
        named = dict(zip(place, self.log.prediction_ids(len(place)), strict=True))
        vectors = zip(*columns.values(), strict=True)
        self.log.put(
            [
                Answered(
                    now, day, key, rows.as_of[at], route, features, vector,
                    {name: score.logged for name, score in by_key[key].items()},
                    named[key], {group: moments[at] for group, moments in rows.moments.items()}, context,
                )
                for (key, at), vector in zip(place.items(), vectors, strict=True)
            ]
        )  # fmt: skip
        return named

    def _entries(
        self,
        customer_ids: Sequence[str],
        champions: Champions,
        names: Sequence[str],
        found: Fetched,
        rows: OnlineRows,
        values: Mapping[str, Sequence[Any]],
        place: Mapping[int, int],
        by_key: Mapping[int, dict[str, Score]],
        logged: Mapping[int, str],
    ) -> list[ScoredCustomer]:
        oldest, moments = champions.oldest(micros(self.shop.now())), rows.moments
        entries = []
        for customer_id in customer_ids:
            key = found.keys.get(customer_id)
            if key is None or key not in place:
                entries.append(without_features(customer_id, key, found, champions, names))
                continue
            at = place[key]
            stale = tuple(group for group in moments if (moments[group][at] or 0) < oldest[group])
            scores, models = by_key[key], champions.models
            if champions.challengers:
                asked = {name: champions.model(name, score.version) for name, score in scores.items()}
                models = {name: model for name, model in asked.items() if model}
            entries.append(
                ScoredCustomer(
                    customer_id, True, None, rows.as_of[at], scores, stale,
                    found.degraded.get(customer_id), logged.get(key), values, moments, at, models,
                )
            )  # fmt: skip
        return entries


def without_features(
    customer_id: str, key: int | None, found: Fetched, champions: Champions, names: Sequence[str]
) -> ScoredCustomer:
    """The defaults of the models while a store is away, else why there are no scores."""
    degraded, models = found.degraded.get(customer_id), champions.models
    if degraded is not None:
        scores = {name: _default(champions, name) for name in names}
        known = None if key is None else True
        return ScoredCustomer(customer_id, known, None, None, scores, (), degraded, models=models)
    reason = UNKNOWN if key is None else UNBUILT
    scores = {name: Score(None, reason=champions.unavailable.get(name, reason)) for name in names}
    return ScoredCustomer(customer_id, key is not None, reason, None, scores, models=models)


def _answers(
    champions: Champions, names: Sequence[str], columns: dict[str, list[Any]], keys: Sequence[int]
) -> list[list[Score]]:
    """Per model its answers about customers."""
    matrices: dict[str, Array] = {}
    answers = []
    for name in names:
        model = champions.models.get(name)
        if model is None:
            answers.append([Score(None, reason=champions.unavailable[name])] * len(keys))
        elif not keys:
            answers.append([])
        else:
            first = champions.alike[name]
            if first not in matrices:
                matrices[first] = matrix(model.columns, columns)
            scores = model.score_matrix(matrices[first])
            answers.append(_challenged(champions, model, columns, scores, keys))
    return answers


def _challenged(
    champions: Champions,
    model: FittedModel,
    columns: dict[str, list[Any]],
    scores: Array,
    keys: Sequence[int],
) -> list[Score]:
    """A champion's answers, or for its share of the customers those of its challenger."""
    answers, name = scores_of(model, columns, scores), model.name
    if name not in champions.challengers:
        return answers
    challenger = champions.challengers[name]
    theirs = challenger.scores(columns, scores)
    if theirs is None:
        return answers
    version, share = challenger.model.version, challenger.challenge.share
    return [
        other._replace(shadow=answer) if drawn(name, version, key, share) else answer._replace(shadow=other)
        for key, answer, other in zip(
            keys, answers, scores_of(challenger.model, columns, theirs), strict=True
        )
    ]


def scores_of(model: FittedModel, columns: dict[str, list[Any]], scores: Array) -> list[Score]:
    """A version's scores as its answers: refused where its question does not apply."""
    return [
        Score(None, version=model.version, reason=refusal)
        if refusal
        else Score(score, round(percentile, 1), model.version, None, None, *bounds)
        for score, percentile, refusal, bounds in zip(
            scores.tolist(),
            model.percentiles(scores).tolist(),
            model.refusals(columns),
            intervals(model, scores),
            strict=True,
        )
    ]


def intervals(model: FittedModel, scores: Array) -> list[tuple[float | None, float | None]]:
    """Per score between which money will lie; None twice of a model that does not say."""
    found = model.interval(scores)
    if found is None:
        return [(None, None)] * len(scores)
    return list(zip(*(side.tolist() for side in found), strict=True))


def _default(champions: Champions, name: str) -> Score:
    if name not in champions.models:
        return Score(None, reason=champions.unavailable[name])
    model = champions.models[name]
    return Score(model.default_score, None, model.version, DEFAULT)


def open_scorer(
    home: Home, log: ScoreLog | None, registry: Registry | None = None, budget_s: float = UNHURRIED_S
) -> Scorer:
    """A scorer with the champions of a home; see :func:`serving.scores.champions.open_champions`.

    Args:
        budget_s: how many seconds each store may take.
    """
    home.shop()  # before a store is made where there is no shop
    champions = open_champions(Store(home, patience_s=budget_s), registry or Registry(home))
    return Scorer(home, champions, log, budget_s)
