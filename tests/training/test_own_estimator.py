"""A customer model with a user's estimator: trained, tested, published, and scored in a batch."""

from __future__ import annotations

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
from models.registry.versions import ModelVersion
from serving.files.score_version import score_version
from training.customers.own_estimator import with_own_estimator
from training.customers.pipeline import train

OWN = """
from sklearn.linear_model import LogisticRegression

class Steady(LogisticRegression):
    pass
"""


@pytest.fixture(scope="module")
def home(built_shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the built shop, to train in."""
    home = Home(tmp_path_factory.mktemp("own") / "home")
    shutil.copytree(built_shop.path, home.path)
    return home


@pytest.fixture(scope="module")
def version(home: Home, built: SnapshotSet) -> ModelVersion:
    """A version of churn by a class in a file, which is gone since."""
    file = home.path.parent / "steady.py"
    file.write_text(OWN)
    model = with_own_estimator(MODELS["churn"], f"{file}:Steady(C=0.01)")
    version = train(Workspace(home, built), model, Registry(home))
    file.unlink()
    return version


def test_it_is_tested_and_published_like_any_other(home: Home, version: ModelVersion) -> None:
    model = Registry(home).open("churn", version.version, run_own_file=True)
    assert version.metrics["auc"] > 0.6
    recipe = model.manifest["estimator"]
    assert (recipe["name"], recipe["settings"]["call"]) == ("OwnEstimator", "Steady(C=0.01)")
    assert model.manifest["complement"]  # it was fitted to the opposite question, like Patron's own
    assert {"estimator.skops", "own.py", "parameters.json"} <= set(model.manifest["files"])
    card = next(home.mlflow.rglob(f"{version.run_id}/**/card.md")).read_text()
    assert "## Influence (mean absolute SHAP value, log-odds)" in card
    assert "![shap_summary](plots/shap_summary.png)" in card
    assert "lift in money" in card
    assert next(home.mlflow.rglob(f"{version.run_id}/**/shap_dependence.png")).stat().st_size > 10_000


def test_with_own_classes_it_is_for_batches_only(home: Home, version: ModelVersion, tmp_path: Path) -> None:
    registry, number = Registry(home), version.version
    assert not version.champion
    reason = next(words for words in version.failed_gates if words.startswith("not servable"))
    assert "the estimator has classes of steady.py" in reason
    with pytest.raises(promotion.GatesFailed, match="cannot be promoted, even with --force: not servable"):
        promotion.promote(registry, "churn", number, "try", force=True)
    with pytest.raises(PatronError, match=r"classes of its own file steady\.py"):
        registry.open("churn", number)
    done = score_version(home, "churn", number, tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores) == [
        "customer_id", "features_as_of", "churn", "churn_percentile", "churn_version", "churn_reason",
    ]  # fmt: skip
    assert len(scores) == done["customers"]
    answered = scores["churn_reason"].isna()
    assert answered.any()
    assert scores.loc[answered, "churn"].between(0, 1).all()
    assert scores.loc[~answered, "churn"].isna().all()
