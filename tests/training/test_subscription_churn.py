"""Contractual churn: labels of subscribers, the model, and its early warning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from events.schema import SCHEMAS, Events
from features.offline import snapshots
from features.offline.populations import population_table
from features.workspace import Workspace
from models.questions.labels import unsubscribed_within
from models.questions.subscription_churn import subscription_churn
from models.registry.registry import Registry
from training.customers.pipeline import columns_of, train
from training.reports.early_warning import endings
from training.reports.reports import report

AS_OF = datetime(2024, 4, 1, tzinfo=UTC)


def label(*given: tuple[str, str, str, str | None], days: int = 60) -> float:
    """The label of one customer as of April 1: (what, reference, day, end of the term) by event."""
    backend = lake.connect()
    rows = []
    for what, reference, day, ends_at in given:
        moment = datetime.fromisoformat(day).replace(hour=12)
        common = {"customer_key": 1, "timestamp": moment, "received_at": moment, "reference": reference}
        text = None if ends_at is None else f'{{"ends_at":"{ends_at}"}}'
        day_number = day_of(moment.replace(tzinfo=UTC), "UTC")
        rows.append(common | {"day": day_number, "kind": f"subscription_{what}", "properties": text})
    schemas = {name: ibis.schema(schema) for name, schema in SCHEMAS.items()}
    tables = {name: ibis.memtable([], schema=schema) for name, schema in schemas.items()}
    told_of = pd.DataFrame(rows, columns=schemas["activities"].names)
    tables["activities"] = ibis.memtable(told_of, schema=schemas["activities"])
    who = pd.DataFrame({"customer_key": [1], "as_of": [AS_OF.replace(tzinfo=None)]})
    request = population_table(backend, who, "UTC")
    (result,) = backend.to_pandas(unsubscribed_within(Events(**tables), request, days))["label"]
    return float(result)


STARTED = ("started", "a", "2024-03-10", "2024-05-10")


def test_a_subscription_ends_by_notice_by_its_end_or_without_renewal() -> None:
    assert label(STARTED) == 1.0  # May 10 and 14 days more are over on May 31
    assert label(STARTED, days=53) == 1.0
    assert label(STARTED, days=52) == 0.0
    assert label(STARTED, ("renewed", "a", "2024-05-20", "2024-07-10")) == 0.0
    assert label(STARTED, ("cancelled", "a", "2024-04-15", None), days=39) == 1.0  # no grace after notice
    assert label(STARTED, ("cancelled", "a", "2024-04-15", None), days=38) == 0.0
    assert label(STARTED, ("cancelled", "a", "2024-04-15", "2024-04-16"), days=15) == 1.0
    assert label(STARTED, ("ended", "a", "2024-04-15", None), days=15) == 1.0
    assert label(STARTED, ("ended", "a", "2024-04-16", None), days=15) == 0.0  # after the horizon
    assert label(("started", "a", "2024-03-10", None)) == 0.0  # nobody knows an end


def test_a_customer_who_resubscribes_or_has_another_subscription_has_not_left() -> None:
    notice = ("cancelled", "a", "2024-04-15", "2024-04-16")
    assert label(STARTED, notice, ("started", "a", "2024-05-01", "2024-07-01")) == 0.0
    assert label(STARTED, notice, ("started", "b", "2024-01-01", "2025-01-01")) == 0.0
    assert label(STARTED, notice, ("started", "b", "2024-06-01", "2025-01-01")) == 1.0  # after the horizon


def test_the_model_passes_its_gates_in_a_shop_with_subscribers(subscribers_shop: Home) -> None:
    (version,) = Registry(subscribers_shop).versions("subscription_churn")
    assert version.failed_gates == ()
    assert version.champion
    assert version.metrics["auc"] > 0.7
    assert version.metrics["test_customers"] > 150


def test_customers_who_stopped_ordering_get_a_higher_score_as_in_the_simulation(
    subscribers_shop: Home,
) -> None:
    built = snapshots.build(subscribers_shop)
    now = built.everyone(built.current)
    model = Registry(subscribers_shop).champion("subscription_churn")
    refused = pd.Series(model.refusals(columns_of(now)), index=now.index)
    others = refused[now["renewing_subscriptions"] == 0]
    assert others.str.startswith("holds no subscription that goes on").all()
    request = now[now["renewing_subscriptions"] > 0]
    assert refused[request.index].isna().all()
    score = pd.Series(model.score(columns_of(request)), index=request.index)
    truth = pd.read_parquet(lake.current(subscribers_shop).folder / "truth.parquet").set_index("customer_key")
    lately = pd.Timestamp(built.current).tz_localize(None) - pd.Timedelta(days=60)
    gone = truth.loc[request.index, "dropped_out_at"] < lately
    monthly = request["subscription_period_months"] == 1
    assert score[gone & monthly].mean() > 2 * score[~gone & monthly].mean()


def test_customers_who_left_had_a_warning_before_their_subscriptions_ended(subscribers_shop: Home) -> None:
    built = snapshots.build(subscribers_shop)
    given = report(Workspace(subscribers_shop, built), subscription_churn)
    assert given.customers > 150
    widest, rarest = given.early_warning[-1], given.early_warning[0]
    assert list(widest.caught) == [30, 14, 7]
    assert widest.lapsed > 10
    assert 0.5 < widest.caught[7] <= 1.0
    assert rarest.right is not None
    assert rarest.right > widest.right
    assert "30 days   14 days    7 days" in given.text()


def test_an_ending_is_observed_if_a_warning_was_possible_for_thirty_days() -> None:
    table = pd.DataFrame(
        {"active_subscriptions": [0, 0, 1, 2], "days_since_subscription_end": [20.0, 61.0, 5.0, np.nan]},
        index=pd.Index([1, 2, 3, 4], name="customer_key"),
    )
    result = endings(table, since=1000, today=1090).set_index("customer_key")
    assert result["lapsed"].to_dict() == {1: True, 3: False, 4: False}
    assert result["lapses"].to_dict() == {1: 1070, 3: 1090, 4: 1090}


def test_scores_of_subscribers_have_reasons_in_words(
    subscribers_shop: Home,
    answering: Callable[[Home], Any],
    copy_trained: Callable[[Home, Path], Home],
    tmp_path: Path,
) -> None:
    built = snapshots.build(subscribers_shop)
    now = built.everyone(built.current)
    keys = now.index[now["renewing_subscriptions"] > 0][:5].tolist()
    ids = list(Identity(subscribers_shop).ids(keys).values())
    body = {"customer_ids": [*ids, "nobody"], "models": ["subscription_churn"], "explain": True}
    with answering(copy_trained(subscribers_shop, tmp_path / "home")) as ask:
        answer = ask("/v1/scores", method="POST", json=body).json()
    scores = [customer["scores"]["subscription_churn"] for customer in answer["customers"][:-1]]
    assert all(0 < score["score"] < 1 for score in scores)
    words = [reason["words"] for score in scores for reason in score["reasons"]]
    assert any("subscription" in text for text in words)


def test_a_shop_without_subscriptions_is_refused_in_one_line(prospects_shop: Home) -> None:
    built = snapshots.build(prospects_shop)
    registry = Registry(prospects_shop)
    given = "subscription_churn cannot be trained: 0 customers have a known outcome and it takes 200"
    with pytest.raises(PatronError, match=given):
        train(Workspace(prospects_shop, built), subscription_churn, registry)
    assert registry.versions("subscription_churn") == []
