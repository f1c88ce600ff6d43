"""Drift: what must be detected, what must not be, and what the files may contain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.home import Home
from core.storage.duckdb_engine import connect
from models.measures.bin_counts import count_bins
from models.measures.drift import ColumnDrift, compare
from models.measures.reference import describe
from models.registry.registry import Registry
from monitoring.check import DriftReport, check, scored_rows
from monitoring.report import _anonymous, write
from monitoring.run import current_rows, reference_rows
from records import Logged

UNTIL = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=7)
ENGINE = connect()


def compared(reference: dict[str, Any], current: pd.DataFrame) -> list[ColumnDrift]:
    """The drift of each column of a frame with one row per customer."""
    specs = {name: spec for name, spec in reference["columns"].items() if name in current}
    return compare(reference, count_bins(ENGINE, ibis.memtable(current), specs))


def only(reference: pd.DataFrame, current: pd.DataFrame) -> ColumnDrift:
    """Compare frames of one column, through JSON as a bundle would keep the reference."""
    (drift,) = compared(json.loads(json.dumps(describe(reference), allow_nan=False)), current)
    return drift


def spend(rows: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame({"spend": np.random.default_rng(seed).lognormal(3, 1, rows)})


@pytest.mark.parametrize("rows", [3_000, 50_000])
def test_a_rise_of_heavy_tailed_spend_by_half_is_detected(rows: int) -> None:
    drift = only(spend(rows, 0), spend(rows, 1) * 1.5)
    assert drift.drifted
    assert drift.psi == pytest.approx(0.16, abs=0.04)
    bins = r"[\d.]+\.\.[\d.]+"
    assert re.match(rf"median bin moved from {bins} to {bins}; above [\d.]+ from 10.0% to ", drift.detail)


@pytest.mark.parametrize("rows", [3_000, 50_000])
def test_an_enormous_order_in_the_reference_does_not_hide_drift(rows: int) -> None:
    reference = spend(rows, 0)
    reference.loc[0, "spend"] = 1e6
    assert only(reference, spend(rows, 1) * 1.5).drifted
    assert not only(reference, spend(rows, 1)).drifted


def mixture(rows: int, seed: int) -> pd.DataFrame:
    """Twenty columns of the shapes customers have: tails, ties, gaps, categories."""
    draw = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for i in range(4):
        columns[f"spend_{i}"] = draw.lognormal(3, 1 + i / 4, rows)
        columns[f"orders_{i}"] = draw.poisson(0.5 + i, rows)
        columns[f"gap_{i}"] = np.where(draw.random(rows) < 0.1 + i / 5, np.nan, draw.exponential(30, rows))
        columns[f"country_{i}"] = draw.choice(
            np.array(["DE", "FR", "AT", None]), rows, p=[0.6, 0.3, 0.05, 0.05]
        )
        columns[f"zeros_{i}"] = np.where(draw.random(rows) < 0.6, 0.0, draw.pareto(1.5, rows))
    return pd.DataFrame(columns)


@pytest.mark.parametrize("rows", [200, 2_000])
def test_a_resample_without_change_is_quiet(rows: int) -> None:
    for seed in range(6):
        result = compared(describe(mixture(5_000, seed)), mixture(rows, 1_000 + seed))
        assert len(result) == 20
        assert not [drift for drift in result if drift.drifted]


def test_psi_without_change_averages_its_noise() -> None:
    draws = [only(spend(4_000, seed), spend(1_000, 500 + seed)) for seed in range(60)]
    assert draws[0].noise == pytest.approx(9 * (1 / 4_000 + 1 / 1_000))
    assert np.mean([drift.psi for drift in draws]) == pytest.approx(draws[0].noise, rel=0.15)


def test_tied_zeros_have_a_bin_of_their_own_with_its_actual_share() -> None:
    values = np.concatenate([np.zeros(6_000), np.linspace(1, 400, 4_000)])
    reference = pd.DataFrame({"spend_90d": values})
    spec = describe(reference)["columns"]["spend_90d"]
    assert spec["edges"][0] == 0
    assert len(set(spec["edges"])) == len(spec["edges"])
    assert spec["shares"][:2] == [0, 0.6]
    assert sum(spec["shares"]) + spec["missing"] == pytest.approx(1)
    fewer = pd.DataFrame({"spend_90d": np.concatenate([np.zeros(4_000), np.linspace(1, 400, 6_000)])})
    assert "exactly 0 from 60.0% to 40.0%" in only(reference, fewer).detail
    assert only(reference, fewer).drifted
    assert only(reference, reference.replace(0.0, -1.0)).drifted  # below the tie, too


def test_a_constant_drifts_if_it_moves_in_either_direction() -> None:
    constant = pd.DataFrame({"x": np.full(1_000, 5)})
    assert only(constant, constant).psi == 0
    assert not only(constant, constant).drifted
    for moved in (4, 6):
        drift = only(constant, constant.replace(5, moved))
        assert drift.drifted
        assert "exactly 5" in drift.detail
    nothing = pd.DataFrame({"x": np.full(1_000, np.nan)})
    assert not only(nothing, nothing).drifted
    assert only(nothing, pd.DataFrame({"x": ["came"] * 1_000})).drifted
    assert only(constant, nothing).drifted


def test_last_digits_do_not_move_a_value_off_its_tie() -> None:
    exact = pd.DataFrame({"x": np.repeat([0.3, 0.7], 500)})
    nearly = exact * (1 + 1e-15)
    assert only(exact, nearly).psi == 0
    assert only(exact, exact.astype("float32")).psi == 0


def test_a_doubled_missing_share_is_detected_despite_a_small_psi() -> None:
    def with_missing(share: float, seed: int) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        return spend(3_000, seed).mask(draw.random((3_000, 1)) < share)

    drift = only(with_missing(0.05, 0), with_missing(0.10, 1))
    assert drift.psi < 0.1
    assert drift.drifted
    assert "missing from " in drift.detail
    assert not only(with_missing(0.05, 0), with_missing(0.05, 1)).drifted


def test_new_categories_are_found_and_not_named() -> None:
    draw = np.random.default_rng(0)
    reference = pd.DataFrame({"country": draw.choice(["DE", "FR"], 2_000)})
    reference.loc[:8, "country"] = "Herr Meier, Dorfweg 3"
    current = pd.DataFrame({"country": draw.choice(["DE", "FR", "Frau Huber, Gasse 5"], 2_000)})
    spec = describe(reference)["columns"]["country"]
    assert sorted(spec["values"]) == ["DE", "FR"]
    assert spec["shares"][-1] == pytest.approx(9 / 2_000)
    drift = only(reference, current)
    assert drift.drifted
    assert "other values from 0.4%" in drift.detail
    assert "Meier" not in json.dumps(describe(reference)) + drift.detail
    assert "Huber" not in drift.detail


def test_at_most_twenty_categories_are_stored() -> None:
    frame = pd.DataFrame({"product": np.repeat([f"p{i:02}" for i in range(30)], 20)})
    assert describe(frame)["columns"]["product"]["values"] == [f"p{i:02}" for i in range(20)]


def test_booleans_are_the_same_however_a_store_hands_them_back() -> None:
    text = pd.Series([True, False, None, True] * 100, dtype="boolean")
    reference = pd.DataFrame({"newsletter": text})
    for column in (text.astype(object).where(text.notna(), None), text.astype("Float64").astype("float64")):
        assert only(reference, pd.DataFrame({"newsletter": column})).psi == 0
    assert only(reference, pd.DataFrame({"newsletter": [False] * 400})).drifted


def test_columns_the_frame_lacks_are_ignored_and_infinite_is_missing() -> None:
    assert compared(describe(mixture(300, 0)), pd.DataFrame({"unknown": [1.0]})) == []
    spec = describe(pd.DataFrame({"x": [np.inf, -np.inf, np.nan, *range(997)]}))["columns"]["x"]
    assert spec["missing"] == pytest.approx(0.003)


values = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 3))


@settings(max_examples=20, deadline=None)
@given(st.lists(values, min_size=1, max_size=200), st.lists(values, min_size=1, max_size=60), st.randoms())
def test_psi_is_never_negative_and_zero_for_the_same_rows_in_any_order(
    before: list[Any], after: list[Any], random: Any
) -> None:
    reference, current = (pd.DataFrame({"x": pd.Series(rows, dtype=float)}) for rows in (before, after))
    drift = only(reference, current)
    assert drift.psi >= 0
    assert 0 <= drift.p_value <= 1
    same = only(reference, reference)
    assert same.psi == pytest.approx(0, abs=1e-12)
    assert not same.drifted
    shuffled = before.copy()
    random.shuffle(shuffled)
    assert describe(pd.DataFrame({"x": pd.Series(shuffled, dtype=float)})) == describe(reference)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "other", "missing"])), min_size=1, max_size=99)
)
def test_the_same_categories_do_not_drift(rows: list[str | None]) -> None:
    frame = pd.DataFrame({"x": pd.Series(rows, dtype=object)})
    assert only(frame, frame).psi == pytest.approx(0, abs=1e-12)


def trained() -> tuple[pd.DataFrame, dict[str, Any]]:
    frame = mixture(5_000, 0)
    frame["newsletter"] = np.random.default_rng(0).random(5_000) < 0.4
    frame["score"] = np.random.default_rng(1).beta(2, 5, 5_000)
    frame["never"] = np.nan
    return frame, describe(frame)


def logged(rows: int, version: str = "3", seed: int = 9) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = mixture(rows, seed)
    frame["newsletter"] = draw.random(rows) < 0.4
    frame["never"] = np.nan
    frame["churn.score"] = np.where(draw.random(rows) < 0.2, np.nan, draw.beta(2, 5, rows))
    frame["churn.version"] = version
    frame["clv.score"], frame["clv.version"] = 12.5, "1"
    frame.insert(0, "day", 20_000)
    frame.insert(1, "customer_key", 7_654_321_000 + seed * 1_000_000 + np.arange(rows))
    return frame


def checked(vectors: pd.DataFrame, model: str = "churn") -> DriftReport:
    rows = ibis.memtable(vectors) if len(vectors) else ibis.memtable({"day": [], "customer_key": []})
    logged_rows = Logged(rows, len(vectors) + 5, 0)
    return check(ENGINE, model, trained()[1], logged_rows, SINCE, UNTIL, "3")


def test_a_quiet_check_says_so_and_leaves_other_versions_out() -> None:
    report = checked(pd.concat([logged(2_000), logged(40, "2", seed=11)], ignore_index=True))
    assert (report.verdict, report.customers, report.others) == ("quiet", 2_000, 40)
    assert report.words == (
        "Quiet: the 2,000 customers scored by churn version 3 resemble its reference customers"
        " (23 columns compared). Other versions scored 40 customers; those predictions are left out."
    )
    assert [c.psi for c in report.columns] == sorted((c.psi for c in report.columns), reverse=True)
    score = next(column for column in report.columns if column.column == "score")
    assert not score.drifted  # though a fifth were not scored


def test_a_drifted_check_names_the_features_and_the_score() -> None:
    vectors = logged(2_000)
    vectors["spend_0"] *= 2
    vectors["churn.score"] = vectors["churn.score"] ** 0.5
    report = checked(vectors)
    assert report.verdict == "drifted"
    assert {column.column for column in report.columns if column.drifted} == {"spend_0", "score"}
    assert report.words.startswith(
        "Drifted: 2 of 23 columns of the 2,000 customers scored by churn version 3"
    )
    assert "spend_0 (median bin moved from " in report.words
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["since"] == "2026-02-22T12:30:00+00:00"


@pytest.mark.parametrize("customers", [50, 210])
def test_many_days_of_few_customers_count_as_few_customers(customers: int) -> None:
    day = logged(customers)
    report = checked(pd.concat([day.assign(day=20_000 + i) for i in range(30)], ignore_index=True))
    verdict = "too_few" if customers < 200 else "quiet"
    assert (report.verdict, report.customers, report.vectors) == (verdict, customers, 30 * customers)


@pytest.mark.parametrize("vectors", [pd.DataFrame(), logged(150), logged(500).drop(columns="churn.version")])
def test_too_few_customers_give_no_verdict(vectors: pd.DataFrame) -> None:
    report = checked(vectors)
    assert (report.verdict, report.columns) == ("too_few", ())
    assert f"scored {report.customers} customers in this span, and a comparison needs 200" in report.words


def test_importing_the_check_imports_neither_evidently_nor_mlflow() -> None:
    code = "import sys, monitoring.check, monitoring.report; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=None
    )
    assert not {"evidently", "mlflow", "scipy.stats"} & set(loaded.stdout.split())


def test_if_evidently_fails_the_json_has_the_reason(tmp_path: Path) -> None:
    vectors = logged(300)
    for reference, reason in [(None, "not kept"), (trained()[0][["spend_0", "never"]], "there are 1")]:
        verdict, picture = write(checked(vectors), reference, vectors, tmp_path / "drift")
        assert picture is None
        content = json.loads(verdict.read_text())
        assert content["html"] is None
        assert reason in content["html_missing_because"]
    assert [path.name for path in (tmp_path / "drift").iterdir()] == ["churn-20260301T123000Z.json"]


def test_the_verdict_is_written_even_if_evidently_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ValueError("customer 7654321")

    monkeypatch.setattr("monitoring.report._evidently", fail)
    vectors = logged(300)
    verdict, picture = write(checked(vectors), trained()[0], vectors, tmp_path)
    assert picture is None
    content = json.loads(verdict.read_text())
    assert content["html_missing_because"] == "Evidently could not draw it (ValueError)"


def test_the_page_shows_nothing_about_fewer_than_ten_customers() -> None:
    reference, current = trained()[0], logged(333).drop(columns=["day", "customer_key"])
    columns = ["spend_0", "gap_3", "country_0", "newsletter"]
    current.loc[5, "country_0"] = "Herr Meier, Dorfweg 3"
    for side, given_side in zip(
        _anonymous(reference[columns], current[columns], ["country_0", "newsletter"]),
        (reference, current),
        strict=True,
    ):
        for name in ("spend_0", "gap_3"):
            assert side[name].value_counts().min() >= 10
            assert side[name].count() == given_side[name].count()
            assert side[name].median() == pytest.approx(given_side[name].median(), rel=0.1)
        assert "Herr Meier, Dorfweg 3" not in set(side["country_0"])
        assert abs(side["spend_0"].corr(side["gap_3"])) < 0.2


def addresses(page: str) -> list[str]:
    """What a page's tags and styles would fetch; addresses inside its scripts are only text."""
    result: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            result.extend(str(value) for name, value in attrs if name in {"src", "href", "data", "action"})

    Reader().feed(page)
    styles = "".join(re.findall(r"<style.*?</style>", page, re.DOTALL))
    return result + re.findall(r"url\((?!data:).{30}|@import.{30}", styles)


def test_the_html_page_is_self_contained_and_anonymous(tmp_path: Path) -> None:
    reference = trained()[0]
    vectors = logged(2_500)
    vectors.loc[7, "country_0"], vectors.loc[7, "spend_0"] = "Herr Meier, Dorfweg 3", 98765.4321
    vectors["spend_1"] *= 2
    report = checked(vectors)
    verdict, picture = write(report, reference.assign(customer_key=7_111_111_111), vectors, tmp_path)
    assert picture == verdict.with_suffix(".html")
    content = json.loads(verdict.read_text())
    assert content.pop("html") == picture.name
    assert content.pop("html_missing_because") is None
    assert content == json.loads(json.dumps(report.as_dict()))
    page = picture.read_text(encoding="utf-8")
    assert "The verdict, which counts all customers, is in the JSON file" in page
    assert "The picture below is of 2,500 of these customers" in page
    assert "spend_1" in page
    for secret in ("customer_key", "7654321", "7111111111", "Meier", "98765.4"):
        assert secret not in page
    assert not addresses(page)
    assert "default-src 'none'" in page
    assert len(list(tmp_path.iterdir())) == 2


def test_the_picture_computes_the_features_of_some_customers(
    trained_shop: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions = [Registry(trained_shop).champion(name) for name in ("propensity", "clv")]
    everyone = reference_rows(trained_shop, champions)["propensity"]
    monkeypatch.setattr("monitoring.report.MAX_ROWS", 200)
    some = reference_rows(trained_shop, champions)["propensity"]
    assert everyone is not None
    assert some is not None
    assert [*some.columns] == [*champions[0].features]
    assert 150 < len(some) < 250 < len(everyone)
    known, rows = (set(frame.astype(str).itertuples(index=False, name=None)) for frame in (everyone, some))
    assert rows <= known


def test_the_picture_has_the_last_vector_of_each_of_some_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [logged(2_000).assign(day=20_000 + i, orders_0=i) for i in range(3)]
    vectors = scored_rows("churn", "3", ibis.memtable(pd.concat(days[::-1], ignore_index=True)))
    assert current_rows(ENGINE, vectors, 2_000)["orders_0"].tolist() == [2] * 2_000
    monkeypatch.setattr("monitoring.report.MAX_ROWS", 500)
    drawn = current_rows(ENGINE, vectors, 2_000)
    assert 400 < len(drawn) < 600
    assert set(drawn["orders_0"]) == {2}
    assert "customer_key" not in drawn
