"""Thousands of requests, well and ill formed, made from the service's own description of itself.

Schemathesis derives them from ``/openapi.json`` in all its phases: documented examples, the edges of every
schema, random requests, and sequences that follow links. No answer may be a 5xx, nor one of a status, type,
header or shape that is not documented; what is ill formed may not be accepted.

    python -m torture.fuzz [--cases N] [--seed N]
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

# Where nobody asks for keys, they cannot be missed.
_NOT_CHECKED = ("ignored_auth",)


@dataclass
class Found:
    """What came of it: cases by phase, and what was wrong, each kind once."""

    cases: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)


def fuzz(app: Any, examples: int, seed: int) -> Found:
    """Ask an application in this process.

    Args:
        examples: random requests per operation, and random sequences.
    """
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "checks": {name: {"enabled": False} for name in _NOT_CHECKED},
        }
    )
    found = Found()
    for event in from_schema(schemathesis.openapi.from_asgi("/openapi.json", app, config=config)).execute():
        if isinstance(event, events.ScenarioFinished):
            found.cases[event.phase.value] += len(event.recorder.cases)
            _add_failures(found, event.recorder)
        elif isinstance(event, events.NonFatalError):
            found.wrong[f"{event.label}: {event.value!r}"] = ""
        elif isinstance(event, events.FatalError):
            raise event.exception
    return found


def _add_failures(found: Found, recorder: Any) -> None:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                case = recorder.cases[case_id].value
                title = f"{case.operation.label}: {check.name}: {failure.title}: {failure.message}"
                found.wrong.setdefault(title[:600], check.failure_info.code_sample[:600])
