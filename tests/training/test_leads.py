"""Leads: only prospects are scored, the ranking, and shops without prospects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

import patron
from core.errors import PatronError
from core.home import Home
from events import lake
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models import questions
from models.questions.leads import leads
from models.registry.registry import Registry
from training.customers.dataset import columns_of
from training.customers.pipeline import train

OTHERS = ("propensity", "subscription_churn", "products", "category_propensity")


def test_the_leads_model_passes_its_gates_in_a_shop_with_prospects(prospects_shop: Home) -> None:
    (version,) = Registry(prospects_shop).versions("leads")
    assert version.failed_gates == ()
    assert version.champion
    assert version.metrics["auc"] > 0.65
    assert version.metrics["test_customers"] > 100


def test_only_prospects_get_a_leads_score(
    prospects_shop: Home,
    answering: Callable[[Home], Any],
    copy_trained: Callable[[Home, Path], Home],
    tmp_path: Path,
) -> None:
    built = snapshots.build(prospects_shop)
    model = Registry(prospects_shop).champion("leads")
    now = built.everyone(built.current)
    refused = pd.Series(model.refusals(columns_of(now)), index=now.index)
    ordered = now["orders_total"] >= 1
    assert refused[ordered].eq("has ordered already, so is no prospect").all()
    assert refused[~ordered].isna().all()
    assert (~ordered).sum() > 100

    with answering(copy_trained(prospects_shop, tmp_path / "home")) as ask:
        listed: httpx.Response = ask("/v1/models")
        states = {state["name"]: state for state in listed.json()}
        assert states["leads"]["version"] == "1"
        assert states["leads"]["meaning"] == "calibrated probability of a first order within 60 days"
        assert "never trained" in states["clv"]["reason"]


def test_prospects_who_will_order_score_above_those_who_never_will(prospects_shop: Home) -> None:
    """The truth of the simulation: a prospect who never orders has dropped out on arrival."""
    built = snapshots.build(prospects_shop)
    now = built.everyone(built.current)
    now = now[now["orders_total"] == 0]
    model = Registry(prospects_shop).champion("leads")
    score = pd.Series(model.score(columns_of(now)), index=now.index)
    truth = pd.read_parquet(lake.current(prospects_shop).folder / "truth.parquet").set_index("customer_key")
    will = truth.loc[now.index, "dropped_out_at"].isna()
    assert will.sum() > 10
    assert score[will].mean() > 2 * score[~will].mean()


def test_the_service_does_not_mention_leads_if_they_were_never_trained(
    get: Callable[..., httpx.Response],
) -> None:
    assert [state["name"] for state in get("/v1/models").json()] == ["churn", "propensity", "clv"]
    assert "leads" not in get("/readyz").json()["models"]


@pytest.mark.slow
def test_a_shop_with_few_prospects_is_refused_with_their_number_and_other_models_are_trained(
    trained_copy: Home, built: SnapshotSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_HOME", str(trained_copy.path))
    # The others would be trained like propensity.
    monkeypatch.setattr(questions, "MODELS", {"propensity": questions.MODELS["propensity"]})
    registry = Registry(trained_copy)
    before = {name: len(registry.versions(name)) for name in OTHERS}
    with pytest.raises(PatronError, match=r"leads cannot be trained: \d+ customers have a known outcome"):
        train(Workspace(trained_copy, built), leads, registry)
    ran = CliRunner().invoke(patron.app, ["train", "all"])
    assert ran.exit_code in (0, 3)
    assert ran.output.splitlines()[-1].startswith("leads cannot be trained: ")
    assert "it takes 200" in ran.output
    assert registry.versions("leads") == []
    assert {name: len(registry.versions(name)) for name in OTHERS} == {n: before[n] + 1 for n in OTHERS}
