"""A customer model with a user's estimator: trained, tested, published, and scored in a batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from core.errors import PatronError
from core.home import Home
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.questions import MODELS
from models.registry import promotion
from models.registry.registry import Registry
from serving.files.score_version import score_version
from training.customers.own_estimator import with_own_estimator
from training.customers.pipeline import train

OWN = """
from sklearn.linear_model import LogisticRegression

class Steady(LogisticRegression):
    pass
"""


@pytest.fixture(scope="module")
def trained(
    built_shop: Home, built: SnapshotSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, Registry]:
    """A home with two versions of churn: of scikit-learn, and of a class in a file."""
    folder = tmp_path_factory.mktemp("own")
    home = Home(folder / "home")
    shutil.copytree(built_shop.path, home.path)
    file = folder / "steady.py"
    file.write_text(OWN)
    registry, workspace = Registry(home), Workspace(home, built)
    for definition in ("sklearn.linear_model.LogisticRegression(C=0.01)", f"{file}:Steady(C=0.01)"):
        train(workspace, with_own_estimator(MODELS["churn"], definition), registry)
    file.unlink()
    return home, registry


def test_an_estimator_of_a_library_is_published_like_any_other(trained: tuple[Home, Registry]) -> None:
    home, registry = trained
    version = next(v for v in registry.versions("churn") if v.version == "1")
    assert version.metrics["auc"] > 0.6
    assert not any(words.startswith("not servable") for words in version.failed_gates)
    model = registry.open("churn", "1")
    assert model.manifest["estimator"]["name"] == "OwnEstimator"
    assert (
        model.manifest["estimator"]["settings"]["call"] == "sklearn.linear_model.LogisticRegression(C=0.01)"
    )
    assert model.manifest["complement"]  # it was fitted to the opposite question, like Patron's own
    card = next(home.mlflow.rglob(f"{version.run_id}/**/card.md")).read_text()
    assert "## Influence (mean absolute SHAP value, log-odds)" in card
    assert "![shap_summary](plots/shap_summary.png)" in card
    assert "lift in money" in card
    reloaded = json.dumps(dict(model.manifest["files"]))
    assert "estimator.skops" in reloaded


def test_an_estimator_with_own_classes_is_for_batches_only(
    trained: tuple[Home, Registry], tmp_path: Path
) -> None:
    home, registry = trained
    version = next(v for v in registry.versions("churn") if v.version == "2")
    assert not version.champion
    assert any(
        words.startswith("not servable: the estimator has classes of steady.py")
        for words in version.failed_gates
    )
    with pytest.raises(promotion.GatesFailed, match="cannot be promoted, even with --force: not servable"):
        promotion.promote(registry, "churn", "2", "try", force=True)
    with pytest.raises(PatronError, match=r"classes of its own file steady\.py"):
        registry.open("churn", "2")
    done = score_version(home, "churn", "2", tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores) == [
        "customer_id", "features_as_of", "churn", "churn_percentile", "churn_version", "churn_reason",
    ]  # fmt: skip
    assert len(scores) == done["customers"]
    answered = scores["churn_reason"].isna()
    assert scores.loc[answered, "churn"].between(0, 1).all()
    assert scores.loc[~answered, "churn"].isna().all()
    score_version(home, "churn", "1", tmp_path / "other.csv")
    other = pd.read_csv(tmp_path / "other.csv")
    assert other["churn"][answered].corr(scores["churn"][answered]) > 0.99
