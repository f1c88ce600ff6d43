"""Scores of customers: models held in memory, features from the online store, answers logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from features.calendar import day_of
from features.errors import NothingThere, PatronError
from features.home import Home
from features.identity import Identity
from features.logs import Answered, ScoreLog
from features.store import OnlineRows, Store
from models.bundle import FittedModel
from models.catalogue import MODELS
from models.registry import Registry

_Reader: TypeAlias = Callable[[Sequence[int]], OnlineRows]
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
    """

    customer_id: str
    known: bool
    reason: str | None
    features_as_of: datetime | None
    scores: dict[str, Score] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Scorer:
    """Answers for customers with the champions it was opened with.

    Attributes:
        models: the champions by name.
        absent: per model without one, why.
    """

    def __init__(
        self,
        home: Home,
        store: Store,
        models: Mapping[str, FittedModel],
        absent: Mapping[str, str],
        features: Sequence[str],
        log: ScoreLog | None,
    ) -> None:
        self.home, self.shop, self.identity = home, home.shop(), Identity(home)
        self.models, self.absent = dict(models), dict(absent)
        self.log = log
        self._features, self._store = tuple(features), store
        self._readers: tuple[_Reader, _Reader] | None = None
        with suppress(NothingThere):  # a shop that waits for its first events
            self._open()

    def _open(self) -> tuple[_Reader, _Reader]:
        """What reads the features that are needed, and all of them."""
        if self._readers is None:
            held = [*self._store.definitions()]
            # Without any champion one feature is still read, to tell who is known.
            self._features = self._features or tuple(held[:1])
            self._readers = self._store.reader(self._features), self._store.reader(held)
        return self._readers

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
        names = list(dict.fromkeys(models)) if models is not None else [*self.models, *self.absent]
        keys = self.identity.keys(list(dict.fromkeys(customer_ids)))
        known = list(keys.values())
        rows = self._rows(known, facts)
        place = {key: i for i, key in enumerate(known) if rows.as_of[i] is not None}
        columns = {name: [rows.values[name][i] for i in place.values()] for name in self._features}
        answers = {name: self._answers(name, columns, len(place)) for name in names}
        by_key = {key: {name: answers[name][i] for name in names} for i, key in enumerate(place)}
        if self.log is not None and place:
            self._write(self.log, route, place, rows, columns, by_key)
        return [self._entry(i, keys, place, rows, by_key, names) for i in customer_ids]

    def probe(self) -> None:
        """Read both stores once.

        Raises:
            PatronError: one of them is missing or unreadable.
        """
        self.identity.keys([""])
        self._rows([0])

    def _rows(self, keys: list[int], facts: bool = False) -> OnlineRows:
        if not keys:
            return OnlineRows({name: [] for name in self._features}, [])
        needed, everything = self._open()
        return everything(keys) if facts else needed(keys)

    def _answers(self, name: str, columns: dict[str, list[Any]], count: int) -> list[Score]:
        if name not in self.models:
            return [Score(None, reason=self.absent[name])] * count
        if not count:
            return []
        model = self.models[name]
        scores = model.score(columns)
        percentiles = model.percentiles(scores)
        return [
            Score(None, version=model.version, reason=refusal)
            if refusal
            else Score(float(score), round(float(percentile), 1), model.version)
            for score, percentile, refusal in zip(scores, percentiles, model.refusals(columns), strict=True)
        ]

    def _entry(
        self,
        customer_id: str,
        keys: Mapping[str, int],
        place: Mapping[int, int],
        rows: OnlineRows,
        by_key: Mapping[int, dict[str, Score]],
        names: Sequence[str],
    ) -> CustomerScores:
        key = keys.get(customer_id)
        if key is None:
            reason = UNKNOWN
        elif key not in place:
            reason = "no features yet: they are made by the next `patron build`"
        else:
            at = place[key]
            facts = {name: values[at] for name, values in rows.values.items()}
            return CustomerScores(customer_id, True, None, rows.as_of[at], by_key[key], facts)
        scores = {name: Score(None, reason=self.absent.get(name, reason)) for name in names}
        return CustomerScores(customer_id, key is not None, reason, None, scores)

    def _write(
        self,
        log: ScoreLog,
        route: str,
        place: Mapping[int, int],
        rows: OnlineRows,
        columns: Mapping[str, list[Any]],
        by_key: Mapping[int, dict[str, Score]],
    ) -> None:
        now = self.shop.now()
        day = day_of(now, self.shop.time_zone)
        log.put(
            [
                Answered(
                    now, day, key, rows.as_of[at], route, self._features,
                    [columns[name][i] for name in self._features],
                    {n: {"version": s.version, "score": s.score} for n, s in by_key[key].items()},
                )
                for i, (key, at) in enumerate(place.items())
            ]
        )  # fmt: skip


def open_scorer(home: Home, log: ScoreLog | None, registry: Registry | None = None) -> Scorer:
    """The champions of a home, verified against their digests and the store's definitions.

    A model whose champion is missing or refused does not stop the others: it is absent, with the
    reason in words.
    """
    home.shop()  # before a store is made where there is no shop
    store = Store(home)
    try:
        definitions = store.definitions()
    except NothingThere:
        definitions = {}
    registry = registry or Registry(home)
    models: dict[str, FittedModel] = {}
    absent: dict[str, str] = {}
    for name in MODELS:
        try:
            model = registry.champion(name)
            model.check_definitions(definitions)
            models[name] = model
        except PatronError as error:
            absent[name] = str(error)
    needed = [f for model in models.values() for f in model.features]
    return Scorer(home, store, models, absent, tuple(dict.fromkeys(needed)), log)
