"""The scorer: reads features from the online store, applies the models, and logs the predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.calendar import day_of, micros
from core.home import Home
from features.catalogue.store import OnlineReader, OnlineRows, Store
from features.live.freshness import FreshnessMonitor
from models.registry.registry import Registry
from records import Prediction, ScoreLog
from serving.http import timing
from serving.scores.champions import Champions, open_champions
from serving.scores.feature_reads import FeatureReader, Fetched
from serving.scores.inference import predict, without_features
from serving.scores.score import Score, ScoredCustomer

DEFAULT_BUDGET_S = 5.0


class Scorer:
    """Scores customers with the current champions.

    Attributes:
        champions: may be replaced at any time; a caller that needs the same ones twice must keep a reference.
        freshness: whether the refresher keeps up; the service starts its thread.
        threads: apply several models to many customers at the same time.
    """

    def __init__(
        self, home: Home, champions: Champions, log: ScoreLog | None, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        self.home, self.shop = home, home.shop()
        self.feature_reader = FeatureReader(home, budget_s)
        self.identity = self.feature_reader.identity
        self.champions, self.log = champions, log
        self.freshness = FreshnessMonitor(home)
        self.threads = ThreadPoolExecutor(os.cpu_count(), "models")

    def close(self) -> None:
        """Wait for calls that timed out, and end the threads."""
        self.freshness.close()
        self.feature_reader.close()
        self.threads.shutdown()

    def score(
        self,
        customer_ids: Sequence[str],
        models: Sequence[str] | None = None,
        route: str | None = "api",
        *,
        facts: bool = False,
        allow_fallback: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> list[ScoredCustomer]:
        """The scores of each customer, in order; an unknown customer gets a reason instead of scores.

        Args:
            route: for the log of predictions; None to log nothing.
            facts: read every feature of the store, not only those that the models need.
            context: values that replace those of the store, for all customers.
            allow_fallback: use cached features, or the models' defaults, while a store is unavailable.

        Raises:
            PatronError: the online store or the customer table is missing or unreadable.
        """
        champions = self.champions
        names = champions.names(models)
        reader = champions.everything if facts else champions.reader(names)
        fetch = self.feature_reader.fetch_or_cached if allow_fallback else self.feature_reader.fetch
        fetched = fetch(list(dict.fromkeys(customer_ids)), reader)
        timing.current().mark("read")
        return self.score_fetched(customer_ids, champions, names, reader, fetched, route, context)

    def score_fetched(
        self,
        customer_ids: Sequence[str],
        champions: Champions,
        names: Sequence[str],
        reader: OnlineReader,
        fetched: Fetched,
        route: str | None = "api",
        context: Mapping[str, Any] | None = None,
    ) -> list[ScoredCustomer]:
        """The same for customers whose features were fetched by ``reader``, one of these champions'."""
        marks = timing.current()
        rows = reader.unpack(fetched.cells)
        values = rows.values
        if context:
            values = values | {name: [value] * len(fetched.keys) for name, value in context.items()}
        index = {key: i for i, key in enumerate(fetched.keys.values()) if rows.as_of[i] is not None}
        columns = {name: values[name] for name in champions.reader(names).names} if index else {}
        if len(index) < len(rows.as_of):
            columns = {name: [column[i] for i in index.values()] for name, column in columns.items()}
        marks.mark("assemble")
        rows_of_scores = zip(*predict(champions, names, columns, list(index)), strict=True)
        by_key = {
            key: dict(zip(names, scores, strict=True))
            for key, scores in zip(index, rows_of_scores, strict=True)
        }
        marks.mark("predict")
        prediction_ids = self._log_predictions(route, index, rows, columns, by_key, context) if index else {}
        return self._scored_customers(
            customer_ids, champions, names, fetched, rows, values, index, by_key, prediction_ids
        )

    def probe(self) -> None:
        """Read the database and the online store once.

        Raises:
            PatronError: one of them is missing or unreadable.
        """
        self.probe_database()
        self.feature_reader.online.call_even_if_open(self.champions.everything, [0])

    def probe_database(self) -> None:
        """Read the database once.

        Raises:
            PatronError: it is missing or unreadable.
        """
        self.identity.keys([""])

    def _log_predictions(
        self,
        route: str | None,
        index: Mapping[int, int],
        rows: OnlineRows,
        columns: Mapping[str, list[Any]],
        by_key: Mapping[int, dict[str, Score]],
        context: Mapping[str, Any] | None,
    ) -> dict[int, str]:
        """Log the predictions; return their ids by customer key."""
        if self.log is None or route is None:
            return {}
        now, features = self.shop.now(), tuple(columns)
        day = day_of(now, self.shop.time_zone)
        prediction_ids = dict(zip(index, self.log.prediction_ids(len(index)), strict=True))
        vectors = zip(*columns.values(), strict=True)
        self.log.put(
            [
                Prediction(
                    now, day, key, rows.as_of[at], route, features, vector,
                    {name: score.log_fields for name, score in by_key[key].items()},
                    prediction_ids[key], {group: moments[at] for group, moments in rows.moments.items()},
                    context,
                )
                for (key, at), vector in zip(index.items(), vectors, strict=True)
            ]
        )  # fmt: skip
        return prediction_ids

    def _scored_customers(
        self,
        customer_ids: Sequence[str],
        champions: Champions,
        names: Sequence[str],
        fetched: Fetched,
        rows: OnlineRows,
        values: Mapping[str, Sequence[Any]],
        index: Mapping[int, int],
        by_key: Mapping[int, dict[str, Score]],
        prediction_ids: Mapping[int, str],
    ) -> list[ScoredCustomer]:
        oldest, moments = champions.oldest(micros(self.shop.now())), rows.moments
        current = self.freshness.reason is None
        customers = []
        for customer_id in customer_ids:
            key = fetched.keys.get(customer_id)
            if key is None or key not in index:
                customers.append(without_features(customer_id, key, fetched, champions, names))
                continue
            at = index[key]
            stale = tuple(group for group in moments if (moments[group][at] or 0) < oldest[group])
            scores, models = by_key[key], champions.models
            if champions.challengers:
                by_name = {name: champions.model(name, score.version) for name, score in scores.items()}
                models = {name: model for name, model in by_name.items() if model}
            customers.append(
                ScoredCustomer(
                    customer_id, True, None, rows.as_of[at], scores, stale,
                    fetched.degraded.get(customer_id), prediction_ids.get(key), values, moments, at, models,
                    current,
                )
            )  # fmt: skip
        return customers


def open_scorer(
    home: Home, log: ScoreLog | None, registry: Registry | None = None, budget_s: float = DEFAULT_BUDGET_S
) -> Scorer:
    """A scorer with the champions of a home; see :func:`serving.scores.champions.open_champions`.

    Args:
        budget_s: how many seconds a call to a store may take.
    """
    home.shop()  # raises if there is no shop, before a store is created
    champions = open_champions(Store(home, patience_s=budget_s), registry or Registry(home))
    return Scorer(home, champions, log, budget_s)
