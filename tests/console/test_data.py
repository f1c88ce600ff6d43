"""The page of data over a shop of each kind: simulated, imported with rejected rows, with a quarantine."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.home import Home
from core.storage.database import Database
from events.journal import quarantine


def test_a_simulated_shop_says_what_arrived_and_that_nothing_was_imported(client: httpx.Client) -> None:
    page = client.get("/console/data").text
    assert "Simulated" in page
    assert "No file was imported" in page
    assert "Every event that came could be used" in page
    everything = client.get("/console/data", params={"checks": "all"}).text
    assert "Run all checks" in page
    assert "Run all checks" not in everything
    assert "MLflow" in everything


@pytest.fixture
def imported(imported_home: Home, open_local: Callable[[Home], Any]) -> Any:
    """A client of a shop that was imported and not built yet."""
    return open_local(imported_home)


def rows(client: Any, table: str) -> list[dict[str, str]]:
    response = client.get(f"/console/export/data/{table}.csv")
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


def test_an_import_is_shown_with_its_month_sums_and_its_rejected_rows(imported: Any) -> None:
    page = imported.get("/console/data")
    assert page.status_code == 200
    assert "orders.csv" in page.text
    assert "No features were built" in page.text
    assert [(row["Month"], row["Orders"], row["Net"]) for row in rows(imported, "months")] == [
        ("2024-04", "1", "30"),
        ("2024-03", "2", "30.5"),
    ]
    by_reason = {(row["Outcome"], row["Reason"]): float(row["Rows"]) for row in rows(imported, "rows")}
    rejected = {
        ("Rejected", reason): 1 for reason in ("unreadable", "no customer", "the same as another row")
    }
    accepted = {("Accepted", "order lines"): 3, ("Accepted", "refunds"): 0}
    assert by_reason == accepted | {("Read in all", ""): 6} | rejected
    assert [row["Row"] for row in rows(imported, "rejected")] == ["4", "5", "6"]
    assert "cid" not in page.text  # no customer is named
    assert "3 of 6 rows of the last import were rejected" in page.text


def test_events_in_quarantine_are_counted_by_reason(imported: Any, tmp_path: Path) -> None:
    database = Database(Home(tmp_path / "home"))
    with database.writing() as connection:
        for second, reason in enumerate(
            ["timestamp: <b>no</b> time", "properties: no total"] + ["no id"] * 2
        ):
            row = {"received_at_us": second * 1_000_000, "reason": reason, "message": "{}"}
            connection.execute(quarantine.insert().values(row))
    listed = {row["Reason"]: row["Events"] for row in rows(imported, "quarantine")}
    assert listed == {"timestamp: <b>no</b> time": "1", "properties: no total": "1", "no id": "2"}
    page = imported.get("/console/data").text
    assert "timestamp: &lt;b&gt;no" in page
    assert "patron quarantine list" in page


@pytest.mark.parametrize("page", ["segments", "cohorts", "features", "data"])
def test_a_shop_that_was_never_built_says_what_to_do(page: str, imported: Any) -> None:
    response = imported.get(f"/console/{page}")
    assert response.status_code == 200
    if page in ("segments", "cohorts", "data"):
        assert "patron build" in response.text
