"""What operators see of requests: ids, stages, and lines on stderr that name no customer."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core import logging_setup as log_lines
from serving.http import observability as observed
from serving.http import timing as stages
from serving.scores.scorer import Scorer

ROOT = Path(__file__).parents[3]
SECRET = "C-secret-customer"
ASK: dict[str, Any] = {"method": "POST", "json": {"customer_ids": [SECRET]}}
Get = Callable[..., httpx.Response]


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A function that gives what was logged since, as JSON."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(log_lines.JsonLine())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def test_a_sane_request_id_comes_back_and_stands_in_problems(get: Get) -> None:
    for sent in ("7", "abc.DEF_1-2", "x" * 64):
        response = get(f"/v1/customers/{SECRET}", headers={"x-request-id": sent})
        assert response.status_code == 404
        assert response.headers.get_list("x-request-id") == [sent]
        assert response.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "é".encode(), "{}", SECRET + "/1"])
def test_another_request_id_is_replaced(sent: str | bytes, get: Get) -> None:
    given = [get("/healthz", headers={"x-request-id": sent}).headers["x-request-id"] for _ in range(2)]
    assert len({*given, sent}) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in given)


def test_the_stages_of_scores_are_told_and_counted(get: Get) -> None:
    names = ["receive", "read", "assemble", "predict", "respond"]
    for count in (1, 40):  # answered at once, and in a thread
        response = get("/v1/scores", method="POST", json={"customer_ids": ["C000001"] * count})
        assert response.status_code == 200
        given_value = dict(re.findall(r"(\w+);dur=(\d+\.\d\d)(?:, |$)", response.headers["server-timing"]))
        assert [*given_value] == [*names, "total"]
        parts = sum(float(given_value[name]) for name in names)
        assert parts == pytest.approx(float(given_value["total"]), abs=0.2)
    text = get("/metrics").text
    for name in names:
        assert f'patron_stage_seconds_count{{route="/v1/scores",stage="{name}"}} ' in text
    assert re.fullmatch(r"total;dur=\d+\.\d\d", get("/healthz").headers["server-timing"])


def test_a_shop_whose_clock_stands_is_ready_for_scores_and_not_for_events(get: Get) -> None:
    assert get("/readyz?for=scores").json()["ready"]
    events = get("/readyz?for=events")
    assert events.status_code == 503
    assert events.json()["reasons"] == ["the clock of this shop stands; it takes no events"]


def test_the_state_of_readiness_is_no_failed_request(
    get: Get, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert get("/readyz?for=events").status_code == 503
    assert lines() == []


def test_outside_of_requests_marks_go_nowhere() -> None:
    stages.current().mark("read")
    assert stages.current().seconds == {}


def test_an_unexpected_error_is_logged_as_type_and_place(
    get: Get, lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(Scorer, "score", broken)
    response = get("/v1/scores", headers={"x-request-id": "r1"}, **ASK)
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"] == "r1"
    (line,) = lines()
    source = (ROOT / "serving" / "scores" / "handler.py").read_text().splitlines()
    file, _, number = line.pop("place").partition(":")
    assert file == "serving/scores/handler.py"
    assert "scorer.score(" in source[int(number) - 1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    seconds = line.pop("seconds")
    assert line == {
        "level": "error", "logger": "serving.http.observability", "request_id": "r1",
        "error": "ZeroDivisionError",
        "method": "POST", "route": "/v1/scores", "status": 500,
        "message": f"POST /v1/scores: 500 after {seconds:.3f} s",
    }  # fmt: skip


def test_only_what_takes_long_is_logged_and_by_its_route(
    get: Get, lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = f"/v1/customers/{SECRET}?language=zh"
    monkeypatch.setattr(observed, "SLOW_SECONDS", 1e9)
    get(request)
    assert lines() == []
    monkeypatch.setattr(observed, "SLOW_SECONDS", -1.0)
    get(request)
    (line,) = lines()
    assert (line["level"], line["route"], line["status"]) == (
        "warning",
        "/v1/customers/{customer_id:path}",
        404,
    )
    assert SECRET not in json.dumps(line)
    assert "zh" not in json.dumps(line)


def test_processes_follow_the_setting_also_in_warnings_and_threads() -> None:
    code = (
        "import logging, threading, warnings\n"
        "from core import logging_setup as log_lines\n"
        "log_lines.configure({form!r})\n"
        "logging.getLogger('uvicorn.error').warning('two\\nlines')\n"
        "warnings.warn('old', stacklevel=1)\n"
        "thread = threading.Thread(target=lambda: 1 / 0, name='t')\n"
        "thread.start(); thread.join()\n"
    )

    def given_value(form: str | None) -> list[str]:
        command = [sys.executable, "-c", code.format(form=form)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stderr.splitlines()

    for form in ("json", None):  # nobody's terminal
        parsed = [json.loads(line) for line in given_value(form)]
        assert [one["logger"] for one in parsed] == ["uvicorn.error", "py.warnings", "core.logging_setup"]
        assert parsed[0]["message"] == "two\nlines"
        assert parsed[2]["error"] == "ZeroDivisionError"
        assert parsed[2]["place"] == "<string>:6"
    text = given_value("text")
    assert text[:2] == ["WARNING uvicorn.error: two", "lines"]
    assert text[-1] == "ERROR core.logging_setup: the thread t ended: ZeroDivisionError at <string>:6"
