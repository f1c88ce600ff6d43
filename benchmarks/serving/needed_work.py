"""What no implementation can avoid for many customers of one request, in one process and one thread.

One command reads the same rows from Redis, the models predict on ready matrices, and the same response
is encoded once. Nothing is looked up, decoded, checked, ranked, logged or sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter

import redis

from benchmarks.serving.sides import MODELS
from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity
from features.catalogue.store import Store
from models.registry.encoding import column_matrix
from models.registry.registry import Registry
from serving.scores import response
from serving.scores.batches import batch
from serving.scores.champions import open_champions
from serving.scores.scorer import Scorer

SECONDS = 3.0


def measure(home: Path, address: str, requests: Sequence[Sequence[str]]) -> float:
    """The median milliseconds of that work for each of these requests, in turn.

    Args:
        address: of the Redis with the online rows.
        requests: the ids of known customers.
    """
    store = Store(Home(home), FeatureSettings(online_store=address))
    champions = open_champions(store, Registry(Home(home)))
    scorer = Scorer(Home(home), champions, None)
    times = []
    try:
        with redis.Redis.from_url(address) as client:
            work = cycle([_prepared(scorer, client, customer_ids) for customer_ids in requests])
            deadline = perf_counter() + SECONDS
            while (start := perf_counter()) < deadline:
                next(work)()
                times.append(perf_counter() - start)
    finally:
        scorer.close()
    return 1e3 * median(times)


def _prepared(scorer: Scorer, client: redis.Redis, customer_ids: Sequence[str]) -> Callable[[], None]:
    """A function that does the work of one request."""
    champions, keys = scorer.champions, Identity(scorer.home).keys(customer_ids)
    reader = champions.reader(MODELS)
    columns = reader.columns(reader.fetch([*keys.values()]))
    rows = [b"patron:online:%d" % key for key in keys.values()]
    customers, _ = batch.score(scorer, customer_ids, MODELS)
    raw = []
    for name in MODELS:
        model = champions.models[name]
        x = column_matrix(model.columns, columns.values)
        raw += [(fitted, x) for fitted in (model.fitted, model.order and model.order.fitted) if fitted]

    def work() -> None:
        client.mget(rows)
        for fitted, x in raw:
            fitted.predict(x)
        response.encode(customers)

    return work
