"""What a home answers by the code of a checkout, and how answers are compared.

It knows the command line, HTTP and MLflow, and imports none of Patron's modules, so that ``make.py`` can
run it over the code of one layout and ``tests/test_homes.py`` over the code of another.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from checkout import Caller, Checkout, customer_path

UNKNOWN = "nobody"  # a customer whom no home knows

# Fields that are left out of the answers, each with the reason.
OF_THE_MOMENT = {
    "prediction_id": "drawn anew for each response; stored ones are asked for by their own route",
    "next_cursor": "opaque; the pages behind it are read",
}
# Of new decisions only: the id is drawn when the decision is made. Standing ones are compared with theirs.
OF_NEW_DECISIONS = {"decision_id"}
# Fields whose texts the code writes, which later versions may word better: an answer has only whether there
# is a text. What the home itself stores in words (tags, moves, refusals, the reasons of the quarantine) is
# listed by the command line, and is compared as it is.
PROSE = {"meaning", "missing", "portrait", "question", "reason", "reasons", "why", "words"}
ANY_TEXT = "…"
DIGITS = 9  # to which sums of floats are compared


def collect(checkout: Checkout, questions: Mapping[str, Any]) -> dict[str, Any]:
    """Every answer that is compared, by what it is about; JSON throughout.

    Args:
        questions: as ``make.py`` stores them: the ids, keys and texts of the home.
    """
    with checkout.serving() as address, Caller(address, questions["keys"]["all"]) as caller:
        answers = {name: _comparable(answer) for name, answer in _http(caller, questions).items()}
        # Last, since a key with a limit is used up.
        answers["keys"] = _statuses(address, questions)
    answers["command_line"] = _command_line(checkout, questions)
    answers["mlflow"] = json.loads(checkout.python(__file__, str(checkout.home)))
    return answers


def _http(caller: Caller, questions: Mapping[str, Any]) -> dict[str, Any]:
    few, models = questions["few"], sorted(questions["models"])
    everyone = [row["customer_id"] for row in caller.pages("/v1/customers", "customers", limit=200)]
    by_segment = {
        segment: caller.pages("/v1/customers", "customers", segment=segment, limit=50)
        for segment in questions["segments"]
    }
    context = {"recency_days": 3, "newsletter": True}
    answers = {
        "customers": everyone,
        "customers_by_segment": by_segment,
        # Many customers and few are scored by different code.
        "scores_of_many": caller.post("/v1/scores", {"customer_ids": everyone})["customers"],
        "scores_of_few": caller.post("/v1/scores", {"customer_ids": [*few, UNKNOWN], "models": models}),
        "scores_explained": caller.post("/v1/scores", {"customer_ids": few, "explain": True}),
        "scores_with_context": caller.post("/v1/scores", {"customer_ids": few[:3], "context": context}),
        "explanations": [caller.get(f"/v1/explanations/{name}") for name in questions["predictions"]],
        "portraits": [caller.get(customer_path(name)) for name in few],
        "timelines": [caller.pages(customer_path(name, "/timeline"), "events", limit=20) for name in few],
        "products": [caller.get(customer_path(name, "/products")) for name in few],
        "categories": [caller.get(customer_path(name, "/categories")) for name in few],
        "segments": caller.get("/v1/segments"),
        "models": caller.get("/v1/models"),
    }  # fmt: skip
    run, job = questions["run"], questions["job"]
    answers["run"] = caller.pages(f"/v1/recommendation-runs/{run}", "rows", limit=100)
    answers["run_state"] = {**caller.get(f"/v1/recommendation-runs/{run}", limit=1), "rows": []}
    answers["jobs"] = caller.get("/v1/score-jobs")
    file = caller.request("GET", f"/v1/score-jobs/{job}/file", format="ndjson").raise_for_status()
    answers["job_file"] = [json.loads(line) for line in file.text.splitlines()]
    # Outcomes that are stored are acknowledged as such; nothing is added.
    answers["outcomes"] = [
        caller.post(f"/v1/decisions/{decision}/outcome", body) for decision, body in questions["outcomes"]
    ]
    answers["decisions_standing"] = [_decision(caller, name) for name in questions["decided"]]
    new = [_decision(caller, name) for name in questions["undecided"]]
    answers["decisions_new"] = [_without(decision, OF_NEW_DECISIONS) for decision in new]
    return answers


def _decision(caller: Caller, customer_id: str) -> Any:
    return caller.post(customer_path(customer_id, "/next-best-actions"), {})


def _statuses(address: str, questions: Mapping[str, Any]) -> dict[str, list[int]]:
    """Per key the status of each route that is asked, in the order of ``questions``."""
    statuses = {}
    for name, key in sorted(questions["keys"].items()):
        with Caller(address, key) as caller:
            statuses[name] = [
                caller.request(method, path, body).status_code for method, path, body in questions["routes"]
            ]
    return statuses


def _command_line(checkout: Checkout, questions: Mapping[str, Any]) -> dict[str, Any]:
    quarantine = checkout.patron_json("quarantine", "list")
    return {
        "models": checkout.patron_json("models"),
        "keys": checkout.patron_json("keys", "list"),
        "quarantine": quarantine,
        "quarantined": [
            checkout.patron_json("quarantine", "show", str(entry["id"])) for entry in quarantine["newest"]
        ],
        "feedback": checkout.patron_json("feedback", questions["feedback"]),
    }


def predictions(home: Path) -> dict[str, list[float]]:
    """By model, what its champion predicts of a sample when ``mlflow.pyfunc`` opens it from the home.

    Models that score no customers (rankings, the classifier of texts) have no pyfunc loader in c135efb;
    they are left out. A home may have been moved, so the bundle is opened at its place in the home: the
    artifact location in MLflow's tables is that of the machine where it was published.
    """
    from_registry = (
        "SELECT name, run_id FROM model_versions JOIN registered_model_aliases USING (name, version)"
        " WHERE alias = 'champion' ORDER BY name"
    )
    with closing(sqlite3.connect(f"file:{home / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True)) as connection:
        champions = connection.execute(from_registry).fetchall()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc
    from mlflow.models import Model

    scores = {}
    for name, run_id in champions:
        bundle = home / "mlflow" / "artifacts" / run_id / "artifacts" / "bundle"
        if not (bundle / "reference.json").exists():  # what models that score customers are monitored by
            continue
        sample = _sample(Model.load(str(bundle / "MLmodel")).signature.inputs)
        predicted = mlflow.pyfunc.load_model(str(bundle)).predict(sample)
        scores[name] = [float(score) for score in predicted]
    return scores


def _sample(inputs: Any) -> Any:
    """Thirty rows of the columns that a model reads; the same for every run."""
    import pandas as pd

    rows = range(30)
    values: dict[str, Any] = {
        "double": lambda i, j: float((i * 37 + j * 11) % 101) if (i + j) % 7 else None,
        "boolean": lambda i, j: (i + j) % 2 == 0,
        "string": lambda i, j: (None, "DE", "email", "A", "tea")[(i + j) % 5],
    }
    columns = {
        column.name: [values[column.type.name](i, j) for i in rows] for j, column in enumerate(inputs.inputs)
    }
    frame = pd.DataFrame(columns)
    numbers = [column.name for column in inputs.inputs if column.type.name == "double"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def differences(expected: Any, answer: Any, path: str = "") -> list[str]:
    """Where an answer is not as expected, in words; empty where it is.

    Numbers are equal only to the last bit. An object may have more fields than expected, since later
    versions may answer more; a list may not have other elements.
    """
    if isinstance(expected, dict) and isinstance(answer, dict):
        missing = [f"{path}/{name}: missing" for name in expected if name not in answer]
        both = (name for name in expected if name in answer)
        return missing + [text for n in both for text in differences(expected[n], answer[n], f"{path}/{n}")]
    if isinstance(expected, list) and isinstance(answer, list):
        if len(expected) != len(answer):
            return [f"{path}: {len(answer)} elements, expected {len(expected)}"]
        pairs = enumerate(zip(expected, answer, strict=True))
        return [text for i, (a, b) in pairs for text in differences(a, b, f"{path}/{i}")]
    # repr tells every double from its neighbours, 0.0 from -0.0, and 1 from 1.0 and true.
    return [] if repr(expected) == repr(answer) else [f"{path}: {answer!r}, expected {expected!r}"]


def _comparable(answer: Any) -> Any:
    """An answer without what is of the moment, and with a mark in place of the code's own words."""
    if isinstance(answer, list):
        return [_comparable(element) for element in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        name: _comparable(_unworded(value) if name in PROSE else value)
        for name, value in _without(answer, OF_THE_MOMENT).items()
    }


def _unworded(value: Any) -> Any:
    """A text, or the texts of a list or an object, as a mark; anything else as it is."""
    if isinstance(value, str):
        return ANY_TEXT
    if isinstance(value, dict):
        return {name: ANY_TEXT if isinstance(text, str) else text for name, text in value.items()}
    return [_unworded(v) if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


def with_totals(answer: Any) -> Any:
    """An answer with the sum of each explained score in place of its reasons.

    Later versions may state a fact as one reason that earlier ones stated as several. What the reasons and
    the rest add up to with the base remains the score.
    """
    if isinstance(answer, list):
        return [with_totals(element) for element in answer]
    if not isinstance(answer, dict):
        return answer
    if not {"base", "reasons", "rest", "raw_rest"} <= set(answer):
        return {name: with_totals(value) for name, value in answer.items()}
    totals = {}
    for total, start, part, rest in (
        ("total", "base", "contribution", "rest"),
        ("raw_total", "bias", "raw_contribution", "raw_rest"),
    ):
        if answer[start] is not None:
            parts = sum(reason[part] for reason in answer["reasons"])
            totals[total] = round(answer[start] + parts + answer[rest], DIGITS)
    return _without(answer, {"reasons", "rest", "raw_rest"}) | totals


def _without(answer: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


if __name__ == "__main__":
    print(json.dumps(predictions(Path(sys.argv[1]))))
