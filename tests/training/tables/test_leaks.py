"""Leaks of several columns, categories of high cardinality, and amounts written as text, in own tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.home import Home
from events.files.table import open_table
from models.estimators.opening import open_fitted
from models.estimators.target_encoding import FittedTargetEncodedTrees, fit_encoding
from models.registry.registry import Registry
from training.tables.examination import Examination, examine
from training.tables.high_cardinality import with_encoded_categories
from training.tables.holdouts import hold_out
from training.tables.labelled import Labelled, label
from training.tables.pipeline import train_table

ROWS = 800


def customers(seed: int = 3) -> pd.DataFrame:
    """Customers who leave the more likely the fewer visits they made; what they spend is another question."""
    rng = np.random.default_rng(seed)
    visits = rng.poisson(5, ROWS)
    left = rng.random(ROWS) < 1 / (1 + np.exp(0.5 * visits - 2))
    return pd.DataFrame(
        {
            "visits": visits,
            "age": rng.integers(18, 90, ROWS),
            "left": np.where(left, "yes", "no"),
            "spent": np.round(visits * rng.gamma(2, 10, ROWS), 2),
        }
    )


def read(frame: pd.DataFrame, folder: Path, target: str = "left", **how: list[str]) -> Labelled:
    path = folder / "customers.csv"
    frame.to_csv(path, index=False)
    return label(open_table(path), target, drop=[{"left": "spent", "spent": "left"}[target]], **how)


def examined(data: Labelled) -> Examination:
    return examine("leavers", data, hold_out(data))[1]


def two_balances(frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """The balance falls if the customer leaves; either alone says nothing."""
    before, change = rng.normal(1000, 300, ROWS), rng.uniform(1, 30, ROWS)
    return {"before": before, "after": before + np.where(frame["left"] == "yes", -change, change)}


def flags(frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Everybody who left has one of five flags."""
    which, left = rng.integers(0, 5, ROWS), frame["left"] == "yes"
    return {f"closed_{i}": np.where(left & (which == i), "yes", "no") for i in range(5)}


def differing_answers(frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Two answers that differ for those who left; either alone says nothing."""
    first = rng.random(ROWS) < 0.5
    second = first ^ (frame["left"] == "yes").to_numpy()
    return {"first": np.where(first, "a", "b"), "second": np.where(second, "a", "b")}


def gross_and_refund(frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """What was spent is the difference of the two."""
    refund = rng.uniform(0, 400, ROWS)
    return {"gross": frame["spent"] + refund, "refund": refund}


@pytest.mark.parametrize(
    ("leak", "target"),
    [(two_balances, "left"), (flags, "left"), (differing_answers, "left"), (gross_and_refund, "spent")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_columns_that_decide_the_outcome_only_together_are_named(
    leak: object, target: str, tmp_path: Path
) -> None:
    frame = customers()
    assert callable(leak)
    columns = leak(frame, np.random.default_rng(5))
    exam = examined(read(frame.assign(**columns), tmp_path, target))
    (leak_of_several,) = exam.leaks
    assert set(leak_of_several.columns) == set(columns)
    assert max(exam.alone[name] for name in columns) < 0.9
    assert leak_of_several.measure > 0.95
    assert exam.evaluation.metrics["leaking_columns"] == len(columns)


def test_a_table_without_a_leak_names_none(tmp_path: Path) -> None:
    assert examined(read(customers(), tmp_path)).leaks == ()
    assert examined(read(customers(), tmp_path, "spent")).leaks == ()


def test_a_value_that_tells_the_outcome_of_a_part_is_noted(tmp_path: Path) -> None:
    frame = customers()
    left, half = frame["left"] == "yes", np.random.default_rng(9).random(ROWS) < 0.4
    frame["closing"] = np.where(left & half, "letter", np.where(half, "none", None))
    exam = examined(read(frame, tmp_path))
    assert exam.leaks == ()
    (sentence,) = exam.telling_values
    having, _, of = sentence.partition(" of ")
    assert int(having) >= 30
    assert of == f"{having} customers whose closing is letter"
    assert examined(read(customers(), tmp_path)).telling_values == ()


def test_a_set_is_held_back_until_all_of_its_columns_are_confirmed(tmp_path: Path) -> None:
    frame = customers()
    frame = frame.assign(**two_balances(frame, np.random.default_rng(5)))

    def leaks(*confirm: str) -> list[str]:
        """The reasons that name leaks, of the gates that fail."""
        data = read(frame, tmp_path, confirm=[*confirm])
        model, exam = examine("leavers", data, hold_out(data))
        return [words for words in exam.evaluation.failed_gates(model) if words.startswith("leaking")]

    (refusal,) = leaks()
    assert "before and after together nearly decide left (auc " in refusal
    assert "--drop before --drop after" in refusal
    assert "--confirm before --confirm after if all are known in time" in refusal
    assert len(leaks("before")) == 1
    assert leaks("before", "after") == []


def test_many_categories_are_encoded_out_of_fold_or_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    town, effect = rng.integers(0, 20, ROWS), rng.normal(0, 2, 20)
    frame = customers().assign(
        town=[f"town {i}" for i in town],
        colour=[f"colour {i}" for i in rng.integers(0, 18, ROWS)],
        left=np.where(rng.random(ROWS) < 1 / (1 + np.exp(-effect[town])), "yes", "no"),
    )
    plain = read(frame, tmp_path)
    data = with_encoded_categories(plain, hold_out(plain).fit)
    assert data.encoded == ("town",)
    assert "colour" not in data.understood.types
    assert "predict left no better than chance" in data.understood.left_out["colour"]
    assert any(note.startswith("town: 2") and "out of fold" in note for note in data.notes)
    assert examined(data).evaluation.metrics["auc"] > 0.65

    home = Home(tmp_path / "home")
    registry = Registry(home)
    train_table(home, registry, plain, "leavers")
    model = registry.open("leavers", "1")
    assert isinstance(model.fitted, FittedTargetEncodedTrees)
    again = open_fitted(model.fitted.to_files())
    values = {
        "visits": [1, 2, 3], "age": [20, 40, None], "town": [f"town {effect.argmax()}", "nowhere", None],
    }  # fmt: skip
    scores = model.score(values)
    assert scores[0] > scores[1] == pytest.approx(scores[1])
    x = np.array([[1.0, 20.0, 0.0], [2.0, 40.0, np.nan]])
    np.testing.assert_array_equal(again.predict(x), model.fitted.predict(x))
    np.testing.assert_allclose(
        model.fitted.corrected(model.fitted.contributions(x).sum(axis=1)), again.predict(x)
    )
    assert "target_encoding" in json.loads(model.fitted.to_files()["parameters.json"])


def test_the_encoding_of_a_row_has_not_seen_its_outcome() -> None:
    """With an outcome of chance, an encoding in-sample predicts it; out of fold it does not."""
    rng = np.random.default_rng(2)
    codes, y = rng.integers(0, 100, 600).astype(float), rng.normal(size=600)
    encoding, out_of_fold = fit_encoding(codes[:, None], y, {0: 100})
    in_sample = encoding.transform(codes[:, None])[:, 0]
    assert np.corrcoef(in_sample, y)[0, 1] > 0.25
    assert np.corrcoef(out_of_fold[:, 0], y)[0, 1] < 0.1
    unknown = encoding.transform(np.array([[np.nan]]))[0, 0]
    assert unknown == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234.50 €", "99.00 €", "-12 €"], [1234.5, 99, -12]),
        (["1.234,50 EUR", "99,00 EUR", "(12,00 EUR)"], [1234.5, 99, -12]),
        (["₹1,23,456.50", "₹99", "₹12"], [123456.5, 99, 12]),
        (["Kč 1 234,50", "99,00 Kč", "12 Kč"], [1234.5, 99, 12]),
        (["US$1,234.50", "₺99.00", "1 234.50"], [1234.5, 99, 1234.5]),
    ],
    ids=lambda texts: str(texts[0]),
)
def test_amounts_written_as_text_are_numbers(texts: list[str], numbers: list[float], tmp_path: Path) -> None:
    path = tmp_path / "amounts.csv"
    pd.DataFrame({"name": ["a", "b", "c"] * 10, "paid": texts * 10}).to_csv(path, index=False)
    table = open_table(path)
    assert table.profile("paid").numbers == 30
    assert table.numbers("paid")[:3].tolist() == numbers


def test_amounts_in_several_currencies_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "amounts.csv"
    pd.DataFrame({"name": range(20), "paid": ["€ 5.50", "$ 7.20"] * 10}).to_csv(path, index=False)
    assert "paid: amounts in EUR and USD are read as they stand, not converted" in open_table(path).notes
