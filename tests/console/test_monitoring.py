"""The page of monitoring shows the stored reports, and Evidently's page without an origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx

from core.home import Home

ConsoleOver = Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]
REPORT = {
    "model": "churn", "version": "3", "since": "2026-01-01T00:00:00+00:00", "customers": 1234, "vectors": 1,
    "others": 7, "answers": 1, "verdict": "drifted", "words": "Drifted", "html_missing_because": None,
    "columns": [
        {"column": "recency_days", "psi": 0.31, "noise": 0.01, "p_value": 0, "detail": "", "drifted": True,
         "bin": "missing", "before": 0.01, "after": 0.4},
        {"column": "score", "psi": 0.02, "noise": 0.01, "p_value": 1, "detail": "", "drifted": False},
    ],
    "level": {"customers": 500, "predicted": 90, "actual": 45, "verdict": "drifted", "words": "",
              "ratio": 2.0, "low": 1.7, "high": 2.4, "coverage": None},
}  # fmt: skip


def store(home: Home, moment: str, **changed: object) -> None:
    """Store a report as `patron monitor` does, with a page of Evidently."""
    stem = f"churn-{moment}T000000Z"
    until = {"until": f"{moment[:4]}-{moment[4:6]}-{moment[6:]}T00:00:00+00:00", "html": f"{stem}.html"}
    home.reports.mkdir(exist_ok=True)
    (home.reports / f"{stem}.json").write_text(json.dumps(REPORT | until | changed))
    (home.reports / f"{stem}.html").write_text(f"<script>{moment}</script>")


def test_the_last_report_is_shown_with_those_before_it(
    built_shop: Home, copy_home: Callable[..., Home], console_over: ConsoleOver
) -> None:
    home = copy_home(built_shop)
    with console_over(home) as ask:
        assert "patron monitor" in ask("/console/monitoring").text
        assert ask("/console/monitoring/churn/evidently").status_code == 404
        store(home, "20260201", verdict="quiet")
        store(home, "20260301")
        english = ask("/console/monitoring").text
        chinese = ask("/console/monitoring", headers={"accept-language": "zh"}).text
        drifted = ("1.7 to 2.4", "40.0%", "1 of 2 features drifted")
        for text in ("1,234", "2 times the actual", *drifted, "quiet"):
            assert text in english
        assert "2 项特征中有 1 项漂移" in chinese
        assert "已漂移" in chinese
        csv = ask("/console/export/monitoring/columns.csv").content.decode("utf-8-sig")
        assert '"yes","missing",0.01,0.4,0.31' in csv


def test_the_page_of_evidently_has_no_origin_and_reaches_no_address(
    built_shop: Home, copy_home: Callable[..., Home], console_over: ConsoleOver
) -> None:
    home = copy_home(built_shop)
    store(home, "20260301")
    with console_over(home) as ask:
        response = ask("/console/monitoring/churn/evidently")
        assert response.text == "<script>20260301</script>"
        policy = response.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none'")
        assert "allow-same-origin" not in policy
        for model in ("..%2F..%2Fpatron", "clv", "churn-20260301T000000Z"):
            assert ask(f"/console/monitoring/{model}/evidently").status_code == 404
