"""The stored reports of drift checks: the last one of each model, those before it, and Evidently's pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import NothingThere
from core.home import Home

_FILE = re.compile(r"(?P<model>[A-Za-z0-9_]+)-(?P<moment>\d{8}T\d{6}Z)\.json")
MAX_HISTORY = 30


def latest(home: Home) -> dict[str, Mapping[str, Any]]:
    """The last report of each model, as JSON has it, in the order of their names."""
    return {model: _read(paths[-1]) for model, paths in sorted(_paths(home).items())}


def history(home: Home, model: str) -> list[Mapping[str, Any]]:
    """The last ``MAX_HISTORY`` reports of a model, the newest first."""
    paths = _paths(home).get(model, [])
    return [_read(path) for path in paths[: -MAX_HISTORY - 1 : -1]]


def page(home: Home, model: str) -> str:
    """Evidently's page of a model's last report.

    Raises:
        NothingThere: there is none; the message says why.
    """
    report = latest(home).get(model)
    if report is None:
        raise NothingThere(f"{model} was never checked; run `patron monitor`")
    if report["html"] is None:
        raise NothingThere(f"the last check of {model} has no picture: {report['html_missing_because']}")
    try:
        return (home.reports / Path(report["html"]).name).read_text(encoding="utf-8")
    except OSError as error:
        raise NothingThere(f"the picture of {model} is gone; run `patron monitor`") from error


def _paths(home: Home) -> dict[str, list[Path]]:
    """The reports by model, the oldest first."""
    by_model: dict[str, list[Path]] = {}
    for path in sorted(home.reports.glob("*.json")):
        if name := _FILE.fullmatch(path.name):
            by_model.setdefault(name["model"], []).append(path)
    return by_model


def _read(path: Path) -> Mapping[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
