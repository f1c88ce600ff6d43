"""Results over HTTP and on the command line, and mistaken outcomes removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from benchmarks.decisions.known_effect import make
from core.home import Home
from decisions.results import report
from records.decisions import DecisionLog
from records.tables import decisions

Answering = Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]
RunPatron = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("results") / "home")
    make(home, 5, 40)
    return home


def test_the_stored_report_is_returned_in_parts(home: Home, answering: Answering) -> None:
    with answering(home) as ask:
        missing = ask("/v1/results", method="GET")
        assert missing.status_code == 404
        assert "patron results" in missing.json()["detail"]
        stored = report.update(home)
        answer = ask("/v1/results", method="GET")
        assert answer.status_code == 200
        body = answer.json()
        assert body["programme"]["unclear"] == stored["programme"]["unclear"]
        assert body["words"]["zh"].startswith("暂时无法判断")
        part = ask("/v1/results?month=2026-04&by=rfm_segment", method="GET").json()
        assert ([row["month"] for row in part["months"]], part["segments"]) == (["2026-04"], [])
        for query in ("month=2026-13", "month=april", "by=country", "since=2026-01-01"):
            assert ask(f"/v1/results?{query}", method="GET").status_code == 422


def test_a_mistaken_outcome_is_removed(home: Home, answering: Answering) -> None:
    with DecisionLog(home) as log, log.reading() as connection:
        name = connection.execute(sa.select(decisions.c.id).limit(1)).scalar_one()
    with answering(home) as ask:
        place = f"/v1/decisions/{name}/outcome"
        recorded = [
            ask(place, method="POST", json={"outcome": "clicked"}).json()["recorded"] for _ in range(2)
        ]
        assert recorded == [True, False]
        assert [ask(f"{place}/clicked", method="DELETE").status_code for _ in range(2)] == [204, 204]
        assert ask(place, method="POST", json={"outcome": "clicked"}).json()["recorded"]
        assert ask(f"{place}/bought", method="DELETE").status_code == 422
        assert ask("/v1/decisions/nobody/outcome/clicked", method="DELETE").status_code == 404


def test_the_commands_show_results_and_draw_the_holdout_anew(
    home: Home, run_patron: RunPatron, tmp_path: Path
) -> None:
    code, out, _ = run_patron(home, "results", "--by", "value_tier")
    assert (code, out.startswith("results as of 2026-04-30, money in EUR")) == (0, True)
    assert "cannot tell yet, because the smaller group has" in out
    assert "value_tier A: " in out
    assert run_patron(home, "results", "--by", "country")[0] == 2
    done: dict[str, Any] = json.loads(run_patron(home, "results", "--month", "2026-03", "--json")[1])
    assert [row["month"] for row in done["months"]] == ["2026-03"]
    code, out, _ = run_patron(home, "holdout", "--rotate")
    assert (code, "pass --yes to rotate" in out) == (3, True)
    code, out, _ = run_patron(home, "holdout", "--rotate", "--yes")
    assert (code, "drawn anew (rotation 2)" in out) == (0, True)
    file = tmp_path / "outcomes.csv"
    file.write_text("decision_id,outcome\nnobody,shown\n")
    code, out, _ = run_patron(home, "outcomes", file)
    assert (code, "0 of 1 outcomes recorded" in out, "rejected: unknown decision" in out) == (0, True, True)
