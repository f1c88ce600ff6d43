"""Models of a company's own table: reading, training, gates, publication and scoring."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import patron
from core.errors import PatronError
from core.home import Home
from events.files.table import open_table
from models.questions import MODELS
from models.registry.registry import Registry
from serving.files.score_table import score_table
from training.tables.examination import examine
from training.tables.holdouts import hold_out
from training.tables.labelled import Labelled, label
from training.tables.pipeline import train_table

ROWS = 1200


def customers(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Made-up customers: those who visit seldom or have the basic plan leave more often."""
    rng = np.random.default_rng(seed)
    visits = rng.poisson(6, rows)
    plan = rng.choice(["basic", "plus", "top"], rows)
    newsletter = rng.choice(["yes", "no"], rows)
    logit = 1.2 - 0.5 * visits + 1.5 * (plan == "basic")
    left = rng.random(rows) < 1 / (1 + np.exp(-logit))
    start = pd.Timestamp("2024-01-01")
    return pd.DataFrame(
        {
            "customer_id": [f"C{i:05}" for i in rng.permutation(rows)],
            "visits": visits,
            "plan": plan,
            "newsletter": newsletter,
            "age": rng.integers(18, 90, rows),
            "shop": "main street",
            "fax": None,
            "remark": [f"remark {i}" for i in range(rows)],
            "asked": [f"{start + pd.Timedelta(hours=int(h)):%Y-%m-%d %H:%M:%S}" for h in range(rows)],
            "left": np.where(left, "yes", "no"),
            "spent": np.where(left, 0, np.round(visits * rng.gamma(2, 10, rows), 2)),
        }
    )


CsvOf = Callable[..., Path]


@pytest.fixture
def csv(tmp_path: Path) -> CsvOf:
    """Write a frame as CSV: (frame, name="customers.csv", **of pandas)."""

    def write(frame: pd.DataFrame, name: str = "customers.csv", **how: Any) -> Path:
        path = tmp_path / name
        frame.to_csv(path, index=False, **how)
        return path

    return write


def read(path: Path, target: str = "left", **how: Any) -> Labelled:
    return label(open_table(path), target, **how)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a champion ``leavers``, and ``spenders``; both learnt from tables with times."""
    folder = tmp_path_factory.mktemp("tables")
    path = folder / "customers.csv"
    customers().to_csv(path, index=False)
    home = Home(folder / "home")
    registry = Registry(home)
    train_table(home, registry, read(path, time="asked", drop=["spent"]), "leavers")
    train_table(home, registry, read(path, "spent", time="asked", drop=["left"]), "spenders")
    return home


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: (*words, home=...) returns its exit code, stdout and stderr."""

    def run(*words: object, home: Path = tmp_path / "home") -> tuple[int, str, str]:
        monkeypatch.setenv("PATRON_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["patron", *map(str, words)])
        code = patron.main()
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


# Reading


def test_a_table_means_the_same_in_csv_and_in_parquet(csv: CsvOf, tmp_path: Path) -> None:
    frame = customers(400)
    frame.loc[3, "age"] = np.nan
    parquet = tmp_path / "customers.parquet"
    frame.assign(asked=pd.to_datetime(frame["asked"])).to_parquet(parquet)
    ours, theirs = read(csv(frame), time="asked"), read(parquet, time="asked")
    assert ours.understood == theirs.understood
    everyone = np.arange(400)
    assert ours.columns(everyone) == theirs.columns(everyone)
    np.testing.assert_array_equal(ours.x(ours.columns(everyone)), theirs.x(theirs.columns(everyone)))
    np.testing.assert_array_equal(ours.moments, theirs.moments)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ours.y, theirs.y)


def test_columns_are_classified_and_unusable_ones_are_reported(csv: CsvOf) -> None:
    frame = customers().assign(number=np.arange(ROWS), euros=np.linspace(0, 1, ROWS)[::-1]).astype(object)
    frame.loc[:5, "age"] = ["n/a", "-", "inf", "old", " ", "NaN"]
    result = read(csv(frame), drop=["spent"]).understood
    assert result.types == {
        "visits": "float64", "plan": "string", "newsletter": "boolean", "age": "float64", "euros": "float64",
    }  # fmt: skip
    assert result.identifiers == ("customer_id", "number")
    assert set(result.left_out) == {"customer_id", "number", "shop", "fax", "remark", "asked"}
    assert result.left_out["shop"] == "holds the same value everywhere"
    assert result.left_out["fax"] == "holds no value"
    assert "free text" in result.left_out["remark"]
    assert "moments" in result.left_out["asked"]
    assert result.notes == ("age: 1 are infinite, and missing", "age: 1 are no numbers, and missing")


@pytest.mark.parametrize(
    ("encoding", "separator"),
    [("utf-8", ";"), ("utf-16", "\t"), ("latin-1", ","), ("cp1252", "|")],
)
def test_encodings_and_separators_are_detected(encoding: str, separator: str, csv: CsvOf) -> None:
    frame = customers(400).replace({"plan": {"top": "\u201cété\u201d" if encoding == "cp1252" else "été"}})
    data = read(csv(frame, encoding=encoding, sep=separator))
    plan = next(c for c in data.columns(np.arange(400)) if c.name == "plan")
    assert plan.vocabulary[:2] == ("basic", "plus")
    assert plan.vocabulary[2].strip("\u201c\u201d") == "été"
    assert (f"the file was read as {encoding}" in data.notes) == (encoding != "utf-8")


# Refusals


def spoilt(**columns: Any) -> pd.DataFrame:
    return customers(400).assign(**columns)


def some(values: list[Any]) -> list[Any]:
    return (values * 400)[:400]


@pytest.mark.parametrize(
    ("frame", "how", "words"),
    [
        (spoilt(), {"target": "gone"}, "there is no column gone; it has customer_id, visits"),
        (spoilt(), {"time": "when"}, "there is no column when"),
        (spoilt(), {"drop": ["when"]}, "there is no column when"),
        (spoilt(), {"drop": ["left"]}, "left is the target"),
        (customers(3), {}, "3 customers have a known left, and it takes 200"),
        (customers(0), {}, "no row below the header"),
        (spoilt(left="no"), {}, "0 of 400 customers have a left above 0, and it takes 100 of each kind"),
        (spoilt(left=1), {}, "400 of 400 customers have a left above 0, and it takes 100 of each kind"),
        (spoilt(left=None), {}, "no row has a known left"),
        (spoilt(left=some([" ", "NaN"])), {}, "no row has a known left"),
        (spoilt(left=some([1, 2])), {}, "left holds only 1 and 2; write 0 and 1, or yes and no"),
        (spoilt(left=some(["a", "b"])), {}, "left holds 'a', 'b'; it must be 0 and 1, yes and no"),
        (spoilt(left=some([0.0, -5.5, -9.0])), {}, "0 of 400 customers have a left above 0, and"),
        (spoilt(asked=some(["2024-05-31", ""])), {"time": "asked"}, "200 of 400 rows have no time"),
        (spoilt(asked=some(["soon"])), {"time": "asked"}, "400 of 400 rows have no time"),
        (spoilt(customer_id=[*range(399), 7]), {}, "customer_id names customers, and 1 rows name one"),
        (customers(400)[["customer_id", "left", "shop", "fax"]], {}, "there is no column to learn from ("),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_unusable_table_is_refused_with_the_reason(
    frame: pd.DataFrame, how: dict[str, Any], words: str, csv: CsvOf
) -> None:
    with pytest.raises(PatronError) as refused:
        read(csv(frame), **how)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "there is no such file"),
        ("empty.csv", b"", "the file is empty"),
        ("book.xlsx", b"PK\x03\x04\0\0" * 50, "this is not a workbook, or it is damaged"),
        (
            "photo.csv",
            b"\xff\xd8\0\x10" * 50,
            "this is not a text file; save the table as CSV, .xlsx or Parquet",
        ),
        ("torn.parquet", b"PAR1 no more", "this is not a Parquet file, or it is damaged"),
    ],
)
def test_a_file_that_is_no_table_is_refused_and_makes_no_home(
    name: str, content: bytes | None, words: str, tmp_path: Path, command: Any
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code, out, err = command("train", "--table", path, "--target", "left")
    assert (code, out) == (1, "")
    assert err.startswith(f"patron: {path}: ")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_unknown_outcomes_are_left_out_and_negative_amounts_count_as_0_with_notes(csv: CsvOf) -> None:
    frame = customers()
    frame.loc[:3, "left"] = ["", None, " ", "NaN"]
    data = read(csv(frame))
    assert len(data.y) == ROWS - 4
    assert data.places.tolist() == list(range(4, ROWS))
    assert "4 rows without a known left are left out" in data.notes
    assert not any("the same as another" in note for note in data.notes)
    twice = pd.concat([frame, frame.head(3)]).drop(columns="customer_id")
    assert any(note.startswith("3 rows are the same as another one") for note in read(csv(twice)).notes)
    money = customers().astype({"spent": object})
    money.loc[:4, "spent"] = [-5, -0.5, "inf", "-", ""]
    data = read(csv(money), "spent")
    assert data.kind == "money"
    assert (len(data.y), data.y[0], data.y[1]) == (ROWS - 3, 0.0, 0.0)
    assert "3 rows without a known spent are left out" in data.notes
    assert "2 amounts of spent below 0 count as 0" in data.notes


def test_a_part_held_out_without_outcomes_is_refused(csv: CsvOf) -> None:
    frame = customers()
    frame.loc[ROWS - 300 :, "left"] = "no"
    with pytest.raises(PatronError, match=r"by time, the last fifth has 0 of 240 customers with a left"):
        hold_out(read(csv(frame), time="asked"))
    with pytest.raises(PatronError, match=r"by time, before it has 0 of 0 customers"):
        hold_out(read(csv(frame.assign(asked="2024-01-01")), time="asked"))


# Examination


def test_held_out_rows_do_not_affect_the_fit(csv: CsvOf) -> None:
    data = read(csv(customers()), time="asked", drop=["spent"])
    stored = hold_out(data)
    _, exam = examine("leavers", data, stored)
    turned = data.y.copy()
    turned[stored.test] = 1 - turned[stored.test]
    model, other = examine("leavers", replace(data, y=turned), stored)
    np.testing.assert_array_equal(exam.score, other.score)
    assert (exam.configuration, exam.alone) == (other.configuration, other.alone)
    assert exam.evaluation.metrics["auc"] > 0.7 > 0.3 > other.evaluation.metrics["auc"]
    assert any("auc_over_constant_low" in words for words in other.evaluation.failed_gates(model))


def test_differences_from_the_baselines_have_intervals(trained: Home) -> None:
    shown = Registry(trained).versions("leavers")[0].metrics
    for baseline in ("constant", "best_column"):
        low, mean, high = (shown[f"auc_over_{baseline}{end}"] for end in ("_low", "", "_high"))
        assert low < mean < high
    assert shown["auc_constant"] == 0.5
    assert shown["auc_over_best_column_low"] > 0  # two columns matter, and one is only one
    assert shown["leaking_columns"] == 0


@pytest.mark.parametrize(
    "leak",
    [
        lambda left: np.where(left, "moved", None),  # written down only of those who left
        lambda left: np.where(left, 10.0, 90.0) + np.arange(ROWS) % 7,
        lambda left: np.where(left, np.where(np.arange(ROWS) % 2, -9, 9), 0),  # neither rises nor falls
    ],
    ids=["by being there", "by its value", "by its middle"],
)
def test_a_column_that_nearly_decides_the_outcome_is_named_and_fails_the_gate(
    leak: Callable[[Any], Any], csv: CsvOf
) -> None:
    frame = customers()
    frame["reason"] = leak(frame["left"].to_numpy() == "yes")
    data = read(csv(frame), drop=["spent"])
    model, exam = examine("leavers", data, hold_out(data))
    assert [leak.columns for leak in exam.leaks] == [("reason",)]
    assert exam.alone["reason"] > 0.99
    (refusal,) = exam.evaluation.failed_gates(model)
    assert refusal.startswith("leaking_columns is 1 and must be at most 0: reason alone nearly decides left")


def test_a_column_that_nearly_is_the_amount_is_a_leak_too(csv: CsvOf) -> None:
    frame = customers()
    frame["invoiced"] = (frame["spent"] * 1.19).round()
    data = read(csv(frame), "spent", drop=["left"])
    _, exam = examine("spenders", data, hold_out(data))
    assert (data.kind, [leak.columns for leak in exam.leaks]) == ("money", [("invoiced",)])


def test_a_category_only_among_held_out_rows_is_handled(csv: CsvOf) -> None:
    frame = customers().assign(source=[None] * (ROWS - 30) + ["fair"] * 30)
    data = read(csv(frame), time="asked", drop=["spent"])
    _, exam = examine("leavers", data, hold_out(data))
    assert data.understood.types["source"] == "string"
    assert np.isfinite(exam.score).all()


def test_a_leak_is_reported_and_promoted_only_without_the_column_or_by_force(
    csv: CsvOf, command: Any
) -> None:
    frame = customers()
    path = csv(frame.assign(reason=np.where(frame["left"] == "yes", "moved", None)))
    request = ("train", "--table", path, "--target", "left", "--name", "leavers", "--drop", "spent")
    code, out, _ = command(*request, "--json")
    assert code == 3
    done = json.loads(out)
    assert not done["versions"][0]["champion"]
    assert any(note.startswith("reason alone reaches auc 1.000: it may be a leak") for note in done["notes"])
    code, out, _ = command("promote", "leavers", "1", "--why", "try")
    assert code == 3
    assert "reason alone nearly decides left" in out
    assert "train with --drop reason, or with --confirm reason if it is known in time" in out
    code, out, _ = command(*request, "--drop", "reason")
    assert code == 0
    assert "leavers version 2" in out
    code, out, _ = command("promote", "leavers", "1", "--why", "known in time", "--force")
    assert (code, "against its gates" in out) == (0, True)


# Publishing


def test_a_table_s_model_is_published_beside_the_built_in_ones_with_card_and_manifest(trained: Home) -> None:
    registry = Registry(trained)
    assert registry.table_models() == ["leavers", "spenders"]
    assert [v.champion for v in registry.versions("leavers")] == [True]
    assert set(MODELS) == {"churn", "propensity", "clv"}
    assert registry.champions(MODELS) == {}
    model = registry.champion("leavers")
    assert [c.name for c in model.columns] == ["visits", "plan", "newsletter", "age"]
    assert model.manifest["meaning"] == "calibrated probability that left is yes"
    assert model.manifest["identifiers"] == ["customer_id"]
    assert set(model.reference["columns"]) == {"visits", "plan", "newsletter", "age", "score"}
    (card,) = (
        path.read_text() for path in trained.mlflow.rglob("card.md") if "# leavers" in path.read_text()
    )
    assert "tested on the last fifth by time, 240 customers, after training on 960" in card
    assert "- left out: `remark` is free text" in card
    assert "## By slice" not in card


def test_the_same_table_gives_the_same_bundle(trained: Home, csv: CsvOf, tmp_path: Path) -> None:
    again = Home(tmp_path / "again")
    registry = Registry(again)
    train_table(again, registry, read(csv(customers()), time="asked", drop=["spent"]), "leavers")
    first, second = Registry(trained).open("leavers", "1"), registry.open("leavers", "1")
    assert first.manifest["files"] == second.manifest["files"]
    assert Registry(trained).versions("leavers")[0].metrics == registry.versions("leavers")[0].metrics


def test_a_table_version_replaces_the_champion_with_the_same_columns_or_if_it_ranks_better(
    csv: CsvOf, tmp_path: Path
) -> None:
    frame = customers()
    home = Home(tmp_path / "again")
    registry = Registry(home)

    def trained_on(drop: list[str], target: str = "left") -> tuple[bool, str, str]:
        version = train_table(home, registry, read(csv(frame), target, drop=drop), "leavers").version
        moves = registry.promotions("leavers")
        return version.champion, version.not_promoted_because, moves[-1].why if version.champion else ""

    without_plan = ["spent", "plan", "age"]
    assert trained_on(without_plan) == (True, "", "passed its gates; there is no champion yet")
    same = "passed its gates; the same columns as version 1, refitted"
    assert trained_on(without_plan) == (True, "", same)
    better, _, why = trained_on(["spent", "age"])
    assert better
    assert why.startswith(
        "passed its gates; version 2, the champion, has another recipe: the difference in auc is +0."
    )
    # Age says nothing of who leaves.
    champion, held_back, _ = trained_on(["spent"])
    assert not champion
    assert held_back.startswith("version 3, the champion, has another recipe: the difference in auc is ")
    assert registry.versions("leavers")[0].metrics["auc_over_champion_low"] <= 0
    narrower, _, why = trained_on(without_plan)
    assert narrower
    assert why == "passed its gates; version 3 uses columns that are left out now, so is not compared"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("churn", "churn is the name of a model that comes with Patron"),
        ("all", "all is the name of a model that comes with Patron"),
        ("My Model", "'My Model' cannot be a model's name"),
        ("x' OR name LIKE '%", "cannot be a model's name"),
    ],
)
def test_taken_and_invalid_names_are_refused(name: str, words: str, trained: Home, csv: CsvOf) -> None:
    data = read(csv(customers(400)))
    with pytest.raises(PatronError) as refused:
        train_table(trained, Registry(trained), data, name)
    assert words in str(refused.value)


def test_without_times_the_customers_are_drawn_and_a_warning_says_what_that_means(
    csv: CsvOf, command: Any
) -> None:
    path = csv(customers(), name="My customers 2024.csv")
    code, out, err = command("train", "--table", path, "--target", "left", "--drop", "spent")
    assert (code, err) == (0, "")
    assert out.startswith("my_customers_2024 version 1: auc 0.")
    assert "on customers drawn at random; champion" in out
    assert "no --time was given" in out
    assert "left out: customer_id names customers" in out
    assert "most was learnt from visits" in out
    code, out, _ = command("models", "my_customers_2024")
    assert "passed its gates" in out


@pytest.mark.parametrize(
    "words",
    [
        ["train", "churn", "--table", "x.csv", "--target", "left"],
        ["train", "--table", "x.csv"],
        ["train", "churn", "--target", "left"],
        ["train", "--table", "x.csv", "--target", "left", "--horizon", "9"],
        ["train", "all", "--estimator", "sklearn.svm.SVC"],
        ["score", "--version", "2", "--out", "y.csv"],
        ["score", "--table", "x.csv", "--out", "y.csv"],
        ["score", "--table", "x.csv", "--out", "y.csv", "--model", "leavers", "--segment", "tier:A"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_refused(words: list[str], command: Any) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert "Usage:" in err


# Scoring


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_a_table_is_scored_row_by_row_into_a_file(
    suffix: str, trained: Home, csv: CsvOf, tmp_path: Path
) -> None:
    frame, out = customers(50, seed=1), tmp_path / f"scores.{suffix}"
    done = score_table(Registry(trained), csv(frame), "leavers", out)
    reads = {"csv": pd.read_csv, "parquet": pd.read_parquet, "ndjson": lambda p: pd.read_json(p, lines=True)}
    scores = reads[suffix](out)
    assert (done["customers"], done["version"], done["notes"]) == (50, "1", [])
    assert list(scores) == ["row", "customer_id", "leavers", "leavers_percentile", "leavers_version"]
    assert scores["row"].tolist() == list(range(1, 51))
    assert scores["customer_id"].tolist() == frame["customer_id"].tolist()
    assert scores["leavers"].between(0, 1).all()
    rare = frame["visits"] <= 4
    assert scores["leavers"][rare].mean() > scores["leavers"][~rare].mean() + 0.2


def test_a_databases_table_is_learnt_from_and_scored_by_hand(command: Any, tmp_path: Path) -> None:
    url, out = f"sqlite:///{tmp_path / 'secret.db'}", tmp_path / "scores.csv"
    with sqlite3.connect(tmp_path / "secret.db") as database:
        customers(600).to_sql("people", database, index=False)
    database.close()
    code, text, err = command(
        "train", "--table", f"{url}#people", "--target", "left", "--time", "asked", "--drop", "spent"
    )
    assert (code, err) == (0, "")
    assert text.startswith("people version 1")
    code, text, _ = command("score", "--table", f"{url}#people", "--model", "people", "--out", out)
    assert (code, len(pd.read_csv(out))) == (0, 600)
    code, _, err = command("train", "--table", f"{url}#nobody", "--target", "left")
    assert (code, err.startswith("patron: the database's table nobody cannot be read")) == (1, True)
    assert "secret" not in err
    code, _, err = command("train", "--table", f"{url}#people", "--target", "gone")
    assert err.startswith("patron: the database's table people: there is no column gone")


def test_unknown_values_count_as_missing_and_are_reported_and_rows_still_get_scores(
    trained: Home, csv: CsvOf, tmp_path: Path
) -> None:
    frame = customers(60, seed=1).astype(object)
    frame.loc[:3, "plan"] = ["gold", "gold", None, ""]
    frame.loc[:4, "visits"] = ["inf", "-inf", "NaN", "", "many"]
    frame.loc[5, list(frame)] = None
    frame["customer_id"] = "the same"
    for name in ("leavers", "spenders"):
        out = tmp_path / f"{name}.parquet"
        done = score_table(Registry(trained), csv(frame), name, out)
        scores = pd.read_parquet(out)
        assert len(scores) == 60
        assert np.isfinite(scores[name]).all()
        assert (scores[name] >= 0).all()
        assert "plan: 2 values that the model does not know; they count as missing" in done["notes"]
        assert "visits: 4 cells of another kind; they count as missing" in done["notes"]


def test_neither_the_order_of_columns_nor_other_columns_matter(
    trained: Home, csv: CsvOf, tmp_path: Path
) -> None:
    frame, registry = customers(40, seed=2), Registry(trained)
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    score_table(registry, csv(frame), "leavers", one)
    turned = frame[list(frame)[::-1]].drop(columns=["left", "spent", "remark", "asked"]).assign(new=1)
    score_table(registry, csv(turned), "leavers", other)
    pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("leavers", lambda f: f.drop(columns="plan"), "there is no column plan; it has customer_id, visits"),
        ("leavers", lambda f: f.assign(visits="many"), "visits holds no number, and the model learnt"),
        ("churn", lambda f: f, "no model 'churn' was trained on a table; those that were: leavers, spenders"),
    ],
    ids=["column", "kind", "model"],
)  # fmt: skip
def test_a_table_that_cannot_be_scored_is_refused_and_no_file_is_left(
    model: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str,
    trained: Home, csv: CsvOf, tmp_path: Path, command: Any,
) -> None:  # fmt: skip
    path, out = csv(change(customers(30))), tmp_path / "scores.csv"
    code, _, err = command("score", "--table", path, "--model", model, "--out", out, home=trained.path)
    assert (code, words in err) == (1, True)
    assert not out.exists()
