"""Are the models still right: the last drift check of each, features then and now, levels and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import HTMLResponse, Response

from console.page import ConsoleFile, ConsolePage, Content, PageTable, TableColumn, Visit
from console.personal.masks import HIDDEN, is_personal
from console.words.features import feature_name, feature_value
from console.words.messages import Translator
from features.group import Feature
from features.groups import features_of
from monitoring import stored
from serving.access.scopes import Scope

# The page contains its own scripts and styles, so it is opened without an origin: it reaches neither the
# console nor its cookies, nor any address.
ALONE = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval';"
    " style-src 'unsafe-inline'; font-src data:; img-src data: blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
SENTENCES = {
    "quiet": "monitoring.is_quiet",
    "drifted": "monitoring.is_drifted",
    "too_few": "monitoring.is_too_few",
}
Report = Mapping[str, Any]


def load(visit: Visit) -> Content:
    """The last report of each model, and one of them in full: that of ``model`` in the query."""
    words, reports = visit.words, stored.latest(visit.home)
    chosen = visit.query.get("model", "")
    if chosen not in reports:
        drifted = (name for name, report in reports.items() if report["verdict"] == "drifted")
        chosen = next(drifted, next(iter(reports), ""))
    report = reports.get(chosen)
    return Content(
        {
            "report": report,
            "sentences": _sentences(report, words) if report else [],
        },
        {"models": _models(reports, words)} | (_details(visit, report) if report else {}),
    )


PAGE = ConsolePage("monitoring", "/monitoring", Scope.OPERATIONS, load, reads_models=True)


def _evidently(visit: Visit) -> Response:
    content = stored.page(visit.home, visit.path["model"])
    headers = {"content-security-policy": ALONE, "referrer-policy": "no-referrer"}
    return HTMLResponse(content, headers=headers)


FILES = (ConsoleFile("/monitoring/{model}/evidently", Scope.OPERATIONS, _evidently, exported=""),)


def _models(reports: Mapping[str, Report], words: Translator) -> PageTable:
    rows = []
    for name, report in reports.items():
        level = report.get("level") or {}
        rows.append(
            {
                "model": words.choice("model", name),
                "address": f"/console/monitoring?model={name}",
                "version": report["version"],
                "verdict": words.choice("verdict", report["verdict"]),
                "drifted": sum(column["drifted"] for column in report["columns"]),
                "level": words.choice("verdict", level["verdict"]) if level else None,
                "ratio": level.get("ratio"),
                "customers": report["customers"],
                "until": report["until"],
            }
        )
    columns = [
        TableColumn("model", "models.model", link="address"),
        TableColumn("version", "model_versions.version"),
        TableColumn("verdict", "monitoring.verdict"),
        TableColumn("drifted", "monitoring.drifted_columns", "number"),
        TableColumn("level", "monitoring.level"),
        TableColumn("ratio", "monitoring.ratio", "number"),
        TableColumn("customers", "monitoring.customers", "number"),
        TableColumn("until", "monitoring.checked", "moment"),
    ]
    return PageTable("monitoring.models", columns, rows, "monitoring.none")


def _details(visit: Visit, report: Report) -> dict[str, PageTable]:
    words = visit.words
    return {
        "columns": _columns(visit, report["columns"]),
        "history": _history(stored.history(visit.home, report["model"]), words),
    }


def _columns(visit: Visit, columns: Sequence[Mapping[str, Any]]) -> PageTable:
    """The features and the score, the most drifted first, with the part that changed most."""
    words, known = visit.words, features_of(visit.home)
    rows = [
        {
            "column": words("monitoring.score")
            if column["column"] == "score"
            else feature_name(words, column["column"], known),
            "address": f"/console/features/{column['column']}" if column["column"] in known else "",
            "drifted": words("monitoring.yes") if column["drifted"] else words("monitoring.no"),
            "psi": column["psi"],
            "noise": column["noise"],
            "bin": _bin(visit, column, known),
            "before": column.get("before"),
            "after": column.get("after"),
        }
        for column in columns
    ]
    titles = [
        TableColumn("column", "monitoring.feature", "long", "address"),
        TableColumn("drifted", "monitoring.drifted"),
        TableColumn("bin", "monitoring.part", "prose"),
        TableColumn("before", "monitoring.then", "percent"),
        TableColumn("after", "monitoring.now", "percent"),
        TableColumn("psi", "monitoring.psi", "measure"),
        TableColumn("noise", "monitoring.noise", "measure"),
    ]
    return PageTable("monitoring.columns", titles, rows, "monitoring.too_few_columns")


def _bin(visit: Visit, column: Mapping[str, Any], known: Mapping[str, Feature]) -> str | None:
    """The name of the bin that changed most; the values of a text in the visitor's language."""
    name, feature = column.get("bin"), known.get(column["column"])
    if name is None or not name.startswith("'"):
        return name
    if visit.is_masked and is_personal(feature):
        return HIDDEN
    if feature is None:
        return str(name)
    value = {"'true'": True, "'false'": False}.get(name, name.strip("'"))
    return feature_value(visit.words, feature.name, feature.unit, value)


def _history(reports: Sequence[Report], words: Translator) -> PageTable:
    rows = []
    for report in reports:
        level = report.get("level") or {}
        rows.append(
            {
                "until": report["until"],
                "version": report["version"],
                "verdict": words.choice("verdict", report["verdict"]),
                "customers": report["customers"],
                "ratio": level.get("ratio"),
                "low": level.get("low"),
                "high": level.get("high"),
            }
        )
    columns = [
        TableColumn("until", "monitoring.checked", "moment"),
        TableColumn("version", "model_versions.version"),
        TableColumn("verdict", "monitoring.verdict"),
        TableColumn("customers", "monitoring.customers", "number"),
        TableColumn("ratio", "monitoring.ratio", "number"),
        TableColumn("low", "results.low", "number"),
        TableColumn("high", "results.high", "number"),
    ]
    return PageTable("monitoring.history", columns, rows)


def _sentences(report: Report, words: Translator) -> list[str]:
    """What a report says, in the visitor's language."""
    columns = report["columns"]
    verdict = words(
        SENTENCES[report["verdict"]], n=report["customers"], version=report["version"],
        drifted=sum(column["drifted"] for column in columns), columns=len(columns),
    )  # fmt: skip
    sentences = [verdict]
    if report["others"]:
        sentences.append(words("monitoring.others", n=report["others"]))
    level = report.get("level")
    if not level:
        return sentences
    if level["ratio"] is None:
        return [*sentences, words("monitoring.level_unknown", n=level["customers"])]
    values = {name: words.number(level[name], 2) for name in ("ratio", "low", "high")}
    name = "monitoring.level_drifted" if level["verdict"] == "drifted" else "monitoring.level_quiet"
    sentences.append(words(name, n=level["customers"], **values))
    if level["coverage"] is not None:
        sentences.append(words("monitoring.coverage", share=words.percent(level["coverage"])))
    return sentences
