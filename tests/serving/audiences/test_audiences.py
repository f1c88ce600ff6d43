"""Saved audiences over HTTP: changed by version, used by rules, counted, and listed as pages and files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_calamine import CalamineWorkbook

from core.home import Home
from decisions.catalogue.file import load
from serving.audiences.members import write_members
from serving.score_jobs.to_file import score_everyone

Ask = Callable[..., httpx.Response]
AUDIENCES = "/v1/audiences"
ACTIONS = """
margin = 0.4
holdout_share = 0.0
exploration_share = 0.0

[audiences.declared]
rule = "orders_total >= 2"

[[actions]]
name = "mail"
channel = "email"
cost = 0.01
rule = "in audience worthy"
effect = { on = "propensity", times = 1.2 }
"""


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home: Home = copy_trained(trained_shop, tmp_path_factory.mktemp("audiences") / "home")
    score_everyone(home, tmp_path_factory.mktemp("out") / "scores.parquet", ["churn", "propensity", "clv"])
    return home


@pytest.fixture(scope="module")
def ask(home: Home, answering: Any) -> Iterator[Ask]:
    with answering(home) as ask:
        yield ask


@pytest.fixture(autouse=True)
def _no_files(home: Home) -> Iterator[None]:
    yield
    home.audiences.unlink(missing_ok=True)
    home.actions.unlink(missing_ok=True)


def put(ask: Ask, name: str, rule: str, digest: str | None = None) -> httpx.Response:
    headers = {} if digest is None else {"If-Match": f'"{digest}"'}
    return ask(f"{AUDIENCES}/{name}", json={"rule": rule}, headers=headers, method="PUT")


def test_an_audience_is_changed_by_its_version(ask: Ask) -> None:
    first = put(ask, "worthy", "clv >= 10 and orders_total >= 1")
    assert first.status_code == 200, first.text
    assert (first.json()["rule"], first.json()["saved"]) == ("clv >= 10.0 and orders_total >= 1", True)
    assert put(ask, "worthy", "clv >= 20").status_code == 412
    assert put(ask, "worthy", "clv >= 20", "another").status_code == 412
    second = put(ask, "worthy", "clv >= 20", first.json()["digest"])
    assert second.json()["digest"] != first.json()["digest"]
    assert 0 < second.json()["customers"] <= first.json()["customers"]
    assert ask(f"{AUDIENCES}/worthy").json() == second.json()
    assert ask(f"{AUDIENCES}/worthy", method="DELETE").status_code == 412
    gone = ask(f"{AUDIENCES}/worthy", method="DELETE", headers={"If-Match": second.json()["digest"]})
    assert gone.status_code == 204
    assert ask(f"{AUDIENCES}/worthy").status_code == 404


def test_the_value_of_an_audience_is_the_sum_of_its_scores(ask: Ask, home: Home) -> None:
    put(ask, "worthy", "clv >= 20")
    home.actions.write_text(ACTIONS)
    listed = {row["name"]: row for row in ask(AUDIENCES).json()["audiences"]}
    assert [*listed] == ["declared", "worthy"] or [*listed] == ["worthy", "declared"]
    page = ask(f"{AUDIENCES}/worthy/customers", params={"limit": 1000}).json()
    assert page["total"] == listed["worthy"]["customers"]
    assert sum(row["clv"] for row in page["customers"]) == pytest.approx(listed["worthy"]["clv"], abs=0.01)
    assert all(row["clv"] >= 20 for row in page["customers"])
    reach, share = listed["worthy"]["reach"]["email"], listed["worthy"]["reach_share"]["email"]
    assert share == pytest.approx(reach / page["total"], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "rule", "status", "words"),
    [
        ("a", "in audience a", 422, "audience a refers to itself: a → a"),
        ("worthy", "in audience user", 422, "refers to itself"),
        ("a", "clv >", 422, "rule: "),
        ("a", "in audience nobody", 422, "there is no audience 'nobody'"),
        ("declared", "clv > 1", 409, "actions.toml declares the audience declared"),
        ("Ä", "clv > 1", 422, "name"),
    ],
)
def test_an_audience_that_cannot_be_used_is_refused(
    name: str, rule: str, status: int, words: str, ask: Ask, home: Home
) -> None:
    put(ask, "worthy", "clv >= 20")
    put(ask, "user", "in audience worthy and orders_total >= 1")
    home.actions.write_text(ACTIONS)
    digest = ask(f"{AUDIENCES}/{name}").json().get("digest") if name == "worthy" else None
    refused = put(ask, name, rule, digest)
    assert (refused.status_code, words in refused.text) == (status, True), refused.text


def test_rules_of_actions_name_saved_audiences_and_others_do_not_change_them(ask: Ask, home: Home) -> None:
    digest = put(ask, "worthy", "clv >= 20").json()["digest"]
    home.actions.write_text(ACTIONS)
    before = load(home).digest
    put(ask, "another", "recency_days <= 30")
    assert load(home).digest == before
    used = ask(f"{AUDIENCES}/worthy", method="DELETE", headers={"If-Match": digest})
    assert (used.status_code, "action mail uses this audience" in used.text) == (409, True)
    put(ask, "worthy", "clv >= 30", digest)
    assert load(home).digest != before
    fits = {row["name"]: row["fits"] for row in ask("/v1/actions").json()["actions"]}
    assert fits["mail"] == ask(f"{AUDIENCES}/worthy").json()["customers"]
    refused = ask("/v1/recommendation-runs", method="POST", json={"rule": "in audience nothing"})
    assert "use another, declared or worthy" in refused.text or "another" in refused.text
    run = ask("/v1/recommendation-runs", method="POST", json={"rule": "in audience another"})
    assert run.json()["total"] == ask(f"{AUDIENCES}/another").json()["customers"]


def test_the_customers_of_an_audience_are_pages_and_files(ask: Ask, home: Home, tmp_path: Path) -> None:
    put(ask, "worthy", "clv >= 20")
    path = f"{AUDIENCES}/worthy/customers"
    pages, cursor = [], None
    while True:
        params: dict[str, Any] = {"limit": 100} | ({} if cursor is None else {"cursor": cursor})
        page = ask(path, params=params).json()
        pages += [row["customer_id"] for row in page["customers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len({*pages}) == len(pages) == page["total"]
    text = ask(path, params={"format": "csv"}).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [*rows[0]] == [
        "customer_id", "value_tier", "rfm_segment", "lifecycle_stage", "churn", "propensity", "clv",
    ]  # fmt: skip
    assert len(rows) == len(pages)
    book = ask(path, params={"format": "xlsx"})
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(book.content)).get_sheet_by_index(0).to_python()
    assert [row[0] for row in sheet[1:]] == pages
    out = tmp_path / "worthy.csv"
    assert write_members(home, "worthy", out)["customers"] == len(pages)
    assert out.read_bytes().decode("utf-8-sig") == text
    assert ask(f"{AUDIENCES}/nobody/customers").status_code == 404
    put(ask, "empty", "orders_total > 100000")
    assert ask(f"{AUDIENCES}/empty/customers").json()["customers"] == []
    assert ask(f"{AUDIENCES}/empty/customers", params={"format": "csv"}).status_code == 200
