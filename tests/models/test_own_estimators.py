"""Estimators that a user names: definitions, fits, explanations, and storage without pickle."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from core.errors import PatronError
from models.estimator import Array
from models.estimators.opening import open_fitted
from models.estimators.own.definition import read_definition
from models.estimators.own.estimator import OwnEstimator
from models.estimators.own.fitted import FittedOwn
from models.measures.metrics import auc, normalised_gini
from models.registry import recipes

ROWS, CATEGORY = 400, 2
PIPELINE = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def make_model(strength=1.0):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength))
"""
OWN_CLASS = """
from sklearn.base import BaseEstimator, ClassifierMixin
import numpy as np

class Counts(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.column_ = int(np.argmax([abs(np.corrcoef(X[:, i], y)[0, 1]) for i in range(X.shape[1])]))
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X[:, self.column_]))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)
"""


def rows(seed: int = 0) -> tuple[Array, Array, Array]:
    """Features with missing values and a category (column 2), outcomes, and money."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.normal(size=ROWS), rng.normal(size=ROWS), rng.integers(0, 3, ROWS), rng.normal(size=ROWS)]
    )
    logit = 1.5 * x[:, 0] - x[:, 1] + 1.5 * (x[:, CATEGORY] == 1)
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(float)
    money = y * np.exp(2 + 0.3 * x[:, 0])
    x[rng.random(ROWS) < 0.1, 1] = np.nan
    x[rng.random(ROWS) < 0.05, CATEGORY] = np.nan
    return x, y, money


def fitted(call: str, kind: str = "probability") -> FittedOwn:
    x, y, money = rows()
    named = read_definition(call)
    estimator = OwnEstimator(named.call, kind, named.file)
    return estimator.fit(x, y if kind == "probability" else money, np.arange(ROWS), [CATEGORY])


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("sklearn.linear_model.LogisticRegression(C=0.5)", "probability"),
        ("sklearn.ensemble.RandomForestClassifier(n_estimators=20, random_state=0)", "probability"),
        ("sklearn.svm.LinearSVC", "probability"),
        ("sklearn.linear_model.Ridge", "probability"),
        ("sklearn.ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0)", "money"),
        ("sklearn.linear_model.TweedieRegressor(power=1.5, link='log')", "money"),
    ],
)
def test_an_estimator_is_calibrated_explained_and_stored_without_pickle(call: str, kind: str) -> None:
    model = fitted(call, kind)
    x, y, money = rows(seed=1)
    scores = model.predict(x)
    if kind == "probability":
        assert auc(y, scores) > 0.75
        assert scores.mean() == pytest.approx(y.mean(), abs=0.08)
        assert model.intervals is None
    else:
        assert normalised_gini(money, scores) > 0.4
        assert scores.sum() == pytest.approx(money.sum(), rel=0.35)
        assert model.intervals is not None
    contributions = model.contributions(x[:5])
    np.testing.assert_allclose(model.corrected(contributions.sum(axis=1)), scores[:5])
    assert np.abs(contributions[:, 0]).mean() > np.abs(contributions[:, 3]).mean()
    again = open_fitted(model.to_files())
    np.testing.assert_array_equal(again.predict(x), scores)
    np.testing.assert_allclose(again.predict(x[:1]), scores[:1])
    assert again.used == {0, 1, 2, 3}


@pytest.mark.skipif(importlib.util.find_spec("xgboost") is None, reason="XGBoost is not installed")
@pytest.mark.parametrize(("name", "kind"), [("XGBClassifier", "probability"), ("XGBRegressor", "money")])
def test_xgboost_is_stored_without_pickle_too(name: str, kind: str) -> None:
    model = fitted(f"xgboost.{name}(n_estimators=20, n_jobs=1)", kind)
    x, *_ = rows(seed=1)
    np.testing.assert_array_equal(open_fitted(model.to_files()).predict(x), model.predict(x))


def test_a_file_that_combines_library_estimators_can_be_served(tmp_path: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(PIPELINE)
    model = fitted(f"{path}:make_model(strength=0.1)")
    assert model.file is not None
    assert not model.needs_own_file
    assert "own.py" not in model.to_files()
    path.unlink()
    x, *_ = rows(seed=1)
    np.testing.assert_array_equal(open_fitted(model.to_files()).predict(x), model.predict(x))


def test_classes_of_a_file_are_for_batches_only(tmp_path: Path) -> None:
    path = tmp_path / "counts.py"
    path.write_text(OWN_CLASS)
    model = fitted(f"{path}:Counts")
    assert model.needs_own_file
    files = model.to_files()
    assert files["own.py"] == OWN_CLASS.encode()
    with pytest.raises(PatronError, match=r"classes of its own file counts\.py.*for batches only"):
        open_fitted(files)
    x, *_ = rows(seed=1)
    np.testing.assert_array_equal(open_fitted(files, run_own_file=True).predict(x), model.predict(x))


def test_what_cannot_be_stored_without_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(
        "from sklearn.preprocessing import FunctionTransformer\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "def make():\n"
        "    return make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression())\n"
    )
    with pytest.raises(PatronError, match="the estimator cannot be stored without pickle"):
        fitted(f"{path}:make").to_files()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("os.system", "os.system is not a path in sklearn or xgboost"),
        ("RandomForestClassifier", "RandomForestClassifier is not a path in sklearn or xgboost"),
        ("sklearn.ensemble.Nothing", "sklearn.ensemble.Nothing; check the name"),
        ("sklearn.nothing.Nothing", "sklearn.nothing cannot be imported"),
        ("sklearn.svm.SVC(C=open('x'))", "is not understood; write NAME or NAME(setting=value, ...)"),
        ("sklearn.svm.SVC(colour=1)", "cannot be made: TypeError"),
        ("sklearn.metrics.roc_auc_score", "cannot be made: TypeError"),
        ("sklearn.preprocessing.StandardScaler", "is no estimator: it has no fit and predict"),
        ("nowhere.py:make", "nowhere.py: the file cannot be read"),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused(call: str, words: str) -> None:
    with pytest.raises(PatronError) as refused:
        read_definition(call).make()
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def other(): pass", "models.py has no make; check the name"),
        ("1 / 0", "models.py cannot be used: ZeroDivisionError"),
        ("def make(: pass", "models.py cannot be used: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(text)
    with pytest.raises(PatronError) as refused:
        read_definition(f"{path}:make").make()
    assert words in str(refused.value)


def test_a_classifier_of_money_and_an_estimator_that_fails_are_refused() -> None:
    with pytest.raises(PatronError, match="LogisticRegression is a classifier, and the outcome is money"):
        fitted("sklearn.linear_model.LogisticRegression", "money")
    with pytest.raises(PatronError, match=r"RandomForestClassifier\(n_estimators=-1\) fails: "):
        fitted("sklearn.ensemble.RandomForestClassifier(n_estimators=-1)")


def test_the_recipe_of_a_library_s_estimator_is_made_again(tmp_path: Path) -> None:
    own = OwnEstimator("sklearn.svm.SVC(C=2)", "probability")
    assert recipes.made({"estimator": recipes.described(own)}) == own
    path = tmp_path / "models.py"
    path.write_text(PIPELINE)
    named = read_definition(f"{path}:make_model")
    of_file = OwnEstimator(named.call, "probability", named.file)
    described = recipes.described(of_file)
    assert recipes.made({"estimator": described}) is None
    assert str(tmp_path) not in str(described)
