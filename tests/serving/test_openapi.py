"""The description of the API: it does not change unnoticed, and its examples run."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.harness import api_examples
from core.home import Home
from decisions.catalogue.file import load
from decisions.catalogue.own_file import MARK
from decisions.results import newest_funnel, report
from decisions.results.funnel import FunnelCounter

ROOT = Path(__file__).parents[2]
OPERATIONS = api_examples.operations()


def test_the_description_is_the_one_that_is_checked_in() -> None:
    spec = importlib.util.spec_from_file_location("described", ROOT / "tests" / "openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    same = module.FILE.read_text(encoding="utf-8") == module.described()
    assert same, "the API's description has changed; if that is meant, `make openapi` and check in the file"


def test_every_operation_has_an_id_of_words_and_says_what_each_answer_means() -> None:
    count = sum(len(by_method) for by_method in api_examples.description()["paths"].values())
    assert len(OPERATIONS) == count > 15
    for name, (_, _, operation) in OPERATIONS.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert operation["summary"]
        assert operation["description"]
        for response in operation["responses"].values():
            assert response["description"] not in ("", "Successful Response")


Ask = Callable[..., httpx.Response]
CHANGES_OF_ACTIONS = ("replace_actions", "put_action", "delete_action")
AFTER = {
    "delete_action": "put_action",
    "read_audience": "put_audience",
    "list_audience_customers": "read_audience",
    "delete_audience": "list_audience_customers",
}


@pytest.fixture(scope="module")
def answer(open_shop: Home, answering: Any) -> Iterator[Callable[[str], httpx.Response]]:
    """A function (operation) that gives what its documented example is answered, each sent once."""
    given: dict[str, httpx.Response] = {}
    report.update(open_shop)
    at = open_shop.shop().now().isoformat()
    newest_funnel.store(open_shop, FunnelCounter(), load(open_shop), as_of=at, run_id=None)
    text = open_shop.actions.read_text(encoding="utf-8")
    open_shop.actions.write_text(f"{MARK}\n{text}", encoding="utf-8")
    with answering(open_shop) as ask:

        def answered(name: str) -> httpx.Response:
            if name not in given:
                before, parameters = api_examples.links().get(name, (AFTER.get(name, ""), {}))
                body = answered(before).json() if before else {}
                linked = api_examples.linked_values(parameters, body)
                given[name] = send(ask, name, linked)
                for _ in range(400):  # a job's file is there when the job is done
                    if given[name].status_code != 409 or name == "stop_score_job":
                        break
                    time.sleep(0.05)
                    given[name] = send(ask, name, linked)
            return given[name]

        yield answered


def send(ask: Ask, name: str, linked: dict[str, str]) -> httpx.Response:
    """Send the documented example of an operation, with what the answer of another is linked to."""
    method, path, options = api_examples.example_request(name, linked)
    if name in CHANGES_OF_ACTIONS:
        options["headers"] = {"If-Match": ask("/v1/actions").json()["digest"]}
    if name == "delete_audience":
        options["headers"] = {"If-Match": ask(path).json()["digest"]}
    return ask(path, method=method, **options)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_documented_example_runs(name: str, answer: Callable[[str], httpx.Response]) -> None:
    response = answer(name)
    if name == "stop_score_job" and response.status_code == 409:
        return  # so few customers are scored before one can say stop
    (documented,) = [status for status in OPERATIONS[name][2]["responses"] if status.startswith("2")]
    assert str(response.status_code) == documented, response.text
    for header in OPERATIONS[name][2]["responses"][documented]["headers"]:
        assert response.headers[header]
