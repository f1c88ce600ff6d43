"""Thousands of valid and invalid requests, generated from the service's OpenAPI document.

Schemathesis derives them from ``/openapi.json`` in all its phases: documented examples, boundary values of
every schema, random requests, and sequences that follow links. No response may be a 5xx, or have a status,
type, header or structure that is not documented; invalid requests must not be accepted.

    python -m torture.fuzz [--cases N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from benchmarks.harness import homes
from core.home import Home
from decisions.catalogue.actions import EXAMPLE
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.scores.scorer import open_scorer

EXAMPLES = 400  # random requests per operation and round
MAX_ROUNDS = 20
LONGEST = 600  # characters of a failure's description


@dataclass
class Findings:
    """The result: cases by phase, and the failures, each kind once."""

    cases: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)


def fuzz(app: FastAPI, key: str, examples: int, seed: int) -> Findings:
    """Send requests to an application in this process.

    Args:
        key: a key of the scope ``all``, which the application requires.
        examples: random requests per operation, and random sequences.
    """
    headers = {"Authorization": f"Bearer {key}"}
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "generation": {"max-examples": examples, "database": "none"},
            # Schemas cannot say which segments, models, cursors and runs exist.
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "headers": headers,
        }
    )
    findings = Findings()
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config, headers=headers)
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            findings.cases[event.phase.value] += len(event.recorder.cases)
            _add_failures(findings, event.recorder)
        elif isinstance(event, events.NonFatalError):
            findings.wrong[f"{event.label}: {event.value!r}"] = ""
        elif isinstance(event, events.FatalError):
            raise event.exception
    return findings


def _add_failures(findings: Findings, recorder: Any) -> None:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                case = recorder.cases[case_id].value
                title = f"{case.operation.label}: {check.name}: {failure.title}: {failure.message}"
                findings.wrong.setdefault(title[:LONGEST], check.failure_info.code_sample[:LONGEST])


def main() -> None:
    parser = argparse.ArgumentParser(description="Thousands of ill-formed requests.")
    parser.add_argument("--cases", type=int, default=10_000, help="at least; more are asked in rounds")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        home = Home(Path(name) / "home")
        homes.build(home.path)
        shutil.copy(EXAMPLE, home.actions)
        cases: Counter[str] = Counter()
        for round_ in range(MAX_ROUNDS):
            with serving(home) as (app, key):
                findings = fuzz(app, key, EXAMPLES, arguments.seed + round_)
            cases += findings.cases
            print(f"round {round_ + 1}: {cases.total():,} cases: {dict(cases)}", flush=True)
            if findings.wrong:
                raise SystemExit("\n".join(f"{what}\n    {how}" for what, how in findings.wrong.items()))
            if cases.total() >= arguments.cases:
                break
        else:
            raise SystemExit(f"only {cases.total():,} cases in {MAX_ROUNDS} rounds")
    print(f"{cases.total():,} cases: no 5xx, nothing undocumented")


@contextmanager
def serving(home: Home) -> Iterator[tuple[FastAPI, str]]:
    """The service with a home that requires keys, and a key."""
    keys = Keys(home)
    _, key = keys.create(f"fuzz-{token_hex(4)}", ["all"])
    with ScoreLog(home) as log:
        app = create_app(open_scorer(home, log), log, keys=keys, keys_needed=True)
        try:
            yield app, key
        finally:
            asyncio.run(_end(app))


async def _end(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        pass


if __name__ == "__main__":
    main()
