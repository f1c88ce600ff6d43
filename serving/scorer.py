"""Scores of customers: models held in memory, features from the online store, answers logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.calendar import day_of
from features.home import Home
from features.identity import Identity
from features.logs import Answered, ScoreLog
from features.store import OnlineRows, Store
from models.bundle import FittedModel
from models.registry import Registry
from serving import stages
from serving.champions import Champions, open_champions

UNKNOWN = "unknown customer: no event has named this id"


@dataclass(frozen=True, slots=True)
class Score:
    """One model's answer: a score, or the reason why there is none."""

    score: float | None
    percentile: float | None = None
    version: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerScores:
    """All answers about one customer, and the moment of the features they rest on.

    Attributes:
        facts: the values of the features that were read, by name.
        models: those that answered, by name.
    """

    customer_id: str
    known: bool
    reason: str | None
    features_as_of: datetime | None
    scores: dict[str, Score] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, FittedModel] = field(default_factory=dict)


class Scorer:
    """Answers for customers with the champions of the moment.

    Attributes:
        champions: what answers; others may take their place at any time, so who asks them twice keeps them.
    """

    def __init__(self, home: Home, champions: Champions, log: ScoreLog | None) -> None:
        self.home, self.shop, self.identity = home, home.shop(), Identity(home)
        self.champions, self.log = champions, log

    def score(
        self,
        customer_ids: Sequence[str],
        models: Sequence[str] | None = None,
        route: str = "api",
        *,
        facts: bool = False,
    ) -> list[CustomerScores]:
        """One entry per customer, in order; a customer who is not known gets a reason.

        Args:
            facts: read every feature that the store holds, not only those that the models need.

        Raises:
            PatronError: the online store or the customer table is missing or unreadable.
        """
        champions = self.champions
        names = list(dict.fromkeys(models)) if models is not None else [*champions.models, *champions.absent]
        keys = self.identity.keys(list(dict.fromkeys(customer_ids)))
        known = list(keys.values())
        rows = _rows(champions, known, facts)
        stages.current().mark("read")
        place = {key: i for i, key in enumerate(known) if rows.as_of[i] is not None}
        features = champions.features if place else ()
        columns = {name: [rows.values[name][i] for i in place.values()] for name in features}
        stages.current().mark("assemble")
        answers = {name: _answers(champions, name, columns, len(place)) for name in names}
        stages.current().mark("predict")
        by_key = {key: {name: answers[name][i] for name in names} for i, key in enumerate(place)}
        if self.log is not None and place:
            self._write(self.log, route, place, rows, columns, by_key)
        return [_entry(champions, i, keys, place, rows, by_key, names) for i in customer_ids]

    def probe(self) -> None:
        """Read both stores once.

        Raises:
            PatronError: one of them is missing or unreadable.
        """
        self.identity.keys([""])
        self.champions.needed([0])

    def _write(
        self,
        log: ScoreLog,
        route: str,
        place: Mapping[int, int],
        rows: OnlineRows,
        columns: Mapping[str, list[Any]],
        by_key: Mapping[int, dict[str, Score]],
    ) -> None:
        now, features = self.shop.now(), tuple(columns)
        day = day_of(now, self.shop.time_zone)
        log.put(
            [
                Answered(
                    now, day, key, rows.as_of[at], route, features,
                    [columns[name][i] for name in features],
                    {n: {"version": s.version, "score": s.score} for n, s in by_key[key].items()},
                )
                for i, (key, at) in enumerate(place.items())
            ]
        )  # fmt: skip


def _rows(champions: Champions, keys: list[int], facts: bool) -> OnlineRows:
    if not keys:
        return OnlineRows({}, [])
    return champions.everything(keys) if facts else champions.needed(keys)


def _answers(champions: Champions, name: str, columns: dict[str, list[Any]], count: int) -> list[Score]:
    if name not in champions.models:
        return [Score(None, reason=champions.absent[name])] * count
    if not count:
        return []
    model = champions.models[name]
    scores = model.score(columns)
    percentiles = model.percentiles(scores)
    return [
        Score(None, version=model.version, reason=refusal)
        if refusal
        else Score(float(score), round(float(percentile), 1), model.version)
        for score, percentile, refusal in zip(scores, percentiles, model.refusals(columns), strict=True)
    ]


def _entry(
    champions: Champions,
    customer_id: str,
    keys: Mapping[str, int],
    place: Mapping[int, int],
    rows: OnlineRows,
    by_key: Mapping[int, dict[str, Score]],
    names: Sequence[str],
) -> CustomerScores:
    models = champions.models
    key = keys.get(customer_id)
    if key is None:
        reason = UNKNOWN
    elif key not in place:
        reason = "no features yet: they are made by the next `patron build`"
    else:
        at = place[key]
        facts = {name: values[at] for name, values in rows.values.items()}
        return CustomerScores(customer_id, True, None, rows.as_of[at], by_key[key], facts, models)
    scores = {name: Score(None, reason=champions.absent.get(name, reason)) for name in names}
    return CustomerScores(customer_id, key is not None, reason, None, scores, models=models)


def open_scorer(home: Home, log: ScoreLog | None, registry: Registry | None = None) -> Scorer:
    """A scorer with the champions of a home; see :func:`serving.champions.open_champions`."""
    home.shop()  # before a store is made where there is no shop
    return Scorer(home, open_champions(Store(home), registry or Registry(home)), log)
