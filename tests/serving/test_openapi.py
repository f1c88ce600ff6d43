"""The description of the API: it does not change unnoticed, and its examples run."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from core.home import Home
from serving.app import describe

ROOT = Path(__file__).parents[2]
DESCRIBED = describe()
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, operations in DESCRIBED["paths"].items()
    for method, operation in operations.items()
}
LINKS = {
    link["operationId"]: (name, link["parameters"])
    for name, (_, _, operation) in OPERATIONS.items()
    for response in operation["responses"].values()
    for link in response.get("links", {}).values()
}


def test_the_description_is_the_one_that_is_checked_in() -> None:
    spec = importlib.util.spec_from_file_location("described", ROOT / "tests" / "openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    same = module.FILE.read_text(encoding="utf-8") == module.described()
    assert same, "the API's description has changed; if that is meant, `make openapi` and check in the file"


def test_every_operation_has_an_id_of_words_and_says_what_each_answer_means() -> None:
    count = sum(len(operations) for operations in DESCRIBED["paths"].values())
    assert len(OPERATIONS) == count > 15
    for name, (_, _, operation) in OPERATIONS.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert operation["summary"]
        assert operation["description"]
        for response in operation["responses"].values():
            assert response["description"] not in ("", "Successful Response")


Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def answer(open_shop: Home, answering: Any) -> Iterator[Callable[[str], httpx.Response]]:
    """A function (operation) that gives what its documented example is answered, each sent once."""
    given: dict[str, httpx.Response] = {}
    with answering(open_shop) as ask:

        def answered(name: str) -> httpx.Response:
            if name not in given:
                before, parameters = LINKS.get(name, ("", {}))
                body = answered(before).json() if before else {}
                linked = {field: at(body, place.partition("#")[2]) for field, place in parameters.items()}
                given[name] = send(ask, name, linked)
                for _ in range(400):  # a job's file is there when the job is done
                    if given[name].status_code != 409 or name == "stop_score_job":
                        break
                    time.sleep(0.05)
                    given[name] = send(ask, name, linked)
            return given[name]

        yield answered


def at(given_value: Any, pointer: str) -> Any:
    """What a JSON pointer leads to."""
    for part in pointer.split("/")[1:]:
        given_value = given_value[int(part)] if isinstance(given_value, list) else given_value[part]
    return given_value


def example(schema: dict[str, Any]) -> Any:
    """The first documented example of a body or a parameter; None where there is none."""
    if "$ref" in schema:
        schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return next(iter(schema.get("examples", ())), None)


def send(ask: Ask, name: str, linked: dict[str, str]) -> httpx.Response:
    """Send the documented example of an operation, with what the answer of another is linked to."""
    method, path, operation = OPERATIONS[name]
    given: dict[str, Any] = {"method": method.upper(), "params": {}}
    values = {
        parameter["name"]: example(parameter["schema"]) for parameter in operation.get("parameters", ())
    }
    values |= linked
    for parameter in operation.get("parameters", ()):
        value = values[parameter["name"]]
        if parameter["in"] == "path":
            assert value is not None, f"{name}: no example of {parameter['name']}"
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif value is not None:
            given["params"][parameter["name"]] = value
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        given["json"] = content.get("example") or example(content["schema"])
        assert given["json"], f"{name}: no example of a body"
    return ask(path, **given)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_documented_example_runs(name: str, answer: Callable[[str], httpx.Response]) -> None:
    response = answer(name)
    if name == "stop_score_job" and response.status_code == 409:
        return  # so few customers are scored before one can say stop
    (documented,) = [status for status in OPERATIONS[name][2]["responses"] if status.startswith("2")]
    assert str(response.status_code) == documented, response.text
    for header in OPERATIONS[name][2]["responses"][documented]["headers"]:
        assert response.headers[header]
