"""The funnel of the actions, by the newest decision for all customers.

A run counts its funnel when it ends, and a preview of all customers too, so a request reads a small file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from core import files
from core.errors import NothingThere
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.results.funnel import FunnelCounter, describe
from decisions.results.report import LANGUAGES
from records import runs
from records.decisions import DecisionLog
from records.results.reading import count_contacts
from records.runs import DecisionRun

NEWEST = "funnel.json"
"""The file, among the reports of a home, with the funnel of the newest decision for all customers."""


def store_of_run(log: DecisionLog, run: DecisionRun, rules: Actions) -> None:
    """Count and store the funnel of a run that decided for all customers and channels."""
    if run.segment is not None or run.rule is not None or run.channels is not None:
        return
    counter = FunnelCounter()
    for action, reasons in runs.chosen(log, run.id):
        counter.add(action, reasons)
    store(log.home, counter, rules, as_of=run.at.isoformat(), run_id=run.id)


def store(home: Home, counter: FunnelCounter, rules: Actions, *, as_of: str, run_id: str | None) -> None:
    """Store the funnel of a decision for all customers.

    Args:
        as_of: when it was decided. run_id: None for a preview.
    """
    content = {
        "as_of": as_of,
        "run_id": run_id,
        "rules": rules.digest,
        "customers": counter.customers,
        "actions": counter.by_action(action.name for action in rules.actions),
        "channels": {action.name: action.channel for action in rules.actions},
    }
    home.reports.mkdir(parents=True, exist_ok=True)
    files.replace(home.reports / NEWEST, json.dumps(content))


def read(log: DecisionLog, days: int, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The newest funnel, with the contacts of the last days.

    Args:
        names: the actions; None for all.

    Raises:
        NothingThere: nothing was decided for all customers yet, or the newest decision has no such action.
    """
    stored = _stored(log.home.reports / NEWEST)
    until = log.home.shop().now()
    contacts = count_contacts(log, until - timedelta(days=days))
    none = {"sent": 0, "accepted": 0}
    actions = [
        {
            "action": name,
            "channel": stored["channels"][name],
            **funnel,
            **contacts.get(name, none),
            "words": {
                language: describe(stored["customers"], funnel, contacts.get(name, none), days, language)
                for language in LANGUAGES
            },
        }
        for name, funnel in stored["actions"].items()
        if names is None or name in names
    ]
    if names is not None and not actions:
        raise NothingThere("the newest run of all customers has no such action")
    shown = {name: stored[name] for name in ("as_of", "run_id", "rules", "customers")}
    return shown | {"days": days, "actions": actions}


def _stored(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NothingThere(
            "no run of all customers and channels is done yet; start one by POST /v1/recommendation-runs, or"
            " look by `patron recommend --preview --out FILE`"
        ) from error
    return content
