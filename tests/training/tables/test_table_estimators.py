"""Models of a company's own table with a user's estimator, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.home import Home
from models.registry.registry import Registry

Run = Callable[..., tuple[int, str, str]]
LOGISTIC = "sklearn.linear_model.LogisticRegression(C=0.5)"
OWN_CLASS = """
from sklearn.linear_model import LogisticRegression

class Steady(LogisticRegression):
    pass
"""


def customers(rows: int = 900) -> pd.DataFrame:
    """Customers who leave the more likely the less they visit; some cities leave more than others."""
    rng = np.random.default_rng(5)
    visits, city = rng.poisson(6, rows), rng.integers(0, 24, rows)
    leaves = 1 / (1 + np.exp(-(2 - 0.5 * visits + 1.5 * (city % 3 == 0))))
    return pd.DataFrame(
        {
            "visits": np.where(rng.random(rows) < 0.05, np.nan, visits),
            "city": [f"city {number}" for number in city],
            "age": rng.integers(18, 90, rows),
            "left": np.where(rng.random(rows) < leaves, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "leavers.csv"
    customers().to_csv(path, index=False)
    return path


def train(run: Run, home: Home, table: Path, *words: object) -> dict[str, object]:
    code, out, errors = run(home, "train", "--table", table, "--target", "left", *words, "--json")
    assert code in (0, 3), errors
    result = json.loads(out)
    (version,) = result.pop("versions")
    return version | result


def test_an_estimator_of_a_library_is_tested_published_and_scores_tables(
    table: Path, tmp_path: Path, run_patron: Run
) -> None:
    home = Home(tmp_path / "home")
    first = train(run_patron, home, table, "--estimator", LOGISTIC)
    assert first["champion"], first["refusals"]
    assert first["metrics"]["auc"] > 0.7
    assert "city: 24 categories become indicators" in first["notes"]
    manifest = Registry(home).open("leavers", "1").manifest
    assert manifest["estimator"]["settings"]["call"] == LOGISTIC
    code, out, _ = run_patron(
        home, "score", "--table", table, "--model", "leavers", "--out", tmp_path / "s.csv"
    )
    assert code == 0, out
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores["leavers"].between(0, 1).all()
    by_visits = scores["leavers"].groupby(customers()["visits"] < 4).mean()
    assert by_visits[True] > 2 * by_visits[False]

    trees = train(run_patron, home, table)
    assert not trees["champion"]  # of another recipe, and not significantly better
    assert "version 1, the champion, has another recipe" in str(trees["held_back"])
    assert "estimator" not in Registry(home).open("leavers", "2").manifest


def test_with_classes_of_a_file_it_is_for_batches_only(table: Path, tmp_path: Path, run_patron: Run) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "steady.py"
    file.write_text(OWN_CLASS)
    version = train(run_patron, home, table, "--estimator", f"{file}:Steady(C=0.5)")
    file.unlink()
    assert not version["champion"]
    assert "not servable: the estimator has classes of steady.py" in str(version["refusals"])
    words = ("score", "--table", table, "--model", "leavers", "--out", tmp_path / "s.csv")
    code, _, errors = run_patron(home, *words)
    assert (code, "leavers has no champion" in errors) == (1, True)
    code, out, _ = run_patron(home, *words, "--version", "1")
    assert code == 0
    assert "by leavers version 1" in out
    assert pd.read_csv(tmp_path / "s.csv")["leavers"].between(0, 1).all()


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        ("os.system", "os.system is not a path in sklearn or xgboost"),
        ("sklearn.svm.SVC(colour=1)", "cannot be made: TypeError"),
        ("sklearn.ensemble.RandomForestClassifier(n_estimators=-1)", "fails: "),
    ],
)
def test_an_estimator_that_cannot_be_used_is_refused(
    estimator: str, words: str, table: Path, tmp_path: Path, run_patron: Run
) -> None:
    home = Home(tmp_path / "home")
    code, _, errors = run_patron(
        home, "train", "--table", table, "--target", "left", "--estimator", estimator
    )
    assert code == 1
    assert words in errors
    assert "Traceback" not in errors
    assert Registry(home).versions("leavers") == []
