"""The data of the shop: imports, rejected rows, the quarantine, what arrives and leaves, and the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.page import ConsolePage, Content, Kind, PageTable, Row, TableColumn, Visit
from console.personal import imports
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from events import journal, lake
from events.segment import quarantine
from events.segment.retention import MEGABYTE, QuarantineLimits, size
from events.warehouse import is_in_warehouse
from features.offline.current import built_at
from serving.access.scopes import Scope
from serving.operations import checks, deliveries, doctor
from serving.operations.checks import Check
from serving.scores.scorer import Scorer

QUICK_CHECKS = {
    "journal": checks.journal, "quarantine": checks.quarantine, "deliveries": deliveries.check,
}  # fmt: skip
"""The checks whose time does not depend on the number of customers; a user can start all."""
REJECTED_ROWS = 5
"""Rejected rows of each reason that are shown."""
COLUMNS: Mapping[str, Kind] = {
    "reason": "text", "row_number": "number", "quantity": "number", "amount": "number", "price": "number",
    "timestamp": "moment",
}  # fmt: skip
"""The kinds of the columns of rejected rows; the others are the shop's own texts."""
IMPORTED = ("orders", "lines", "customers"), ("gross", "discounts", "refunds", "net")
"""The month sums of an import: counts, and money."""


def load(visit: Visit) -> Content:
    """The state of the data; with the parameter ``checks=all``, all checks of ``patron doctor``."""
    metadata = lake.metadata(visit.home)
    record, database = metadata.record, Database(visit.home)
    has_all_checks = visit.query.get("checks") == "all"
    examined = doctor.examine(visit.home) if has_all_checks else checks.run(QUICK_CHECKS, visit.home)
    rejected, problem = _rejected(visit, record)
    limits = QuarantineLimits.of(FeatureSettings())
    return Content(
        {
            "metadata": metadata,
            "file": record.get("file"),
            "imported_at": record.get("imported_at"),
            "format": record.get("format"),
            "readings": record.get("readings", ()),
            "warnings": imports.warnings(visit, record),
            "built_at": built_at(visit.home, metadata.generation),
            "arrival": _arrival(visit.home),
            "received": journal.last(database),
            "last_received": journal.last_received(database),
            "stale": visit.services[Scorer].freshness.reason,
            "problem": problem,
            "rows_read": record.get("read", 0),
            "rejected_rows": sum(record.get("set_aside", {}).values()),
            "unavailable": _unavailable(visit.services[Scorer]),
            "quarantined": size(database),
            "limits": {"events": limits.events, "mb": limits.bytes // MEGABYTE, "days": limits.age.days},
            "has_all_checks": has_all_checks,
        },
        {
            "checks": _checks(visit, examined),
            "rows": _rows(visit, record),
            "rejected": rejected,
            "months": _months(record.get("months", ())),
            "quarantine": _quarantine(database),
        },
    )


PAGE = ConsolePage("data", "/data", Scope.OPERATIONS, load, jobs=("scores", "decisions", "release", "plan"))


def _arrival(home: Home) -> str:
    """The name of the message on where events come from, while none has been received."""
    if is_in_warehouse(home):
        return "data.in_warehouse"
    return "data.live" if home.shop().live else "data.not_live"


def _unavailable(scorer: Scorer) -> str | None:
    """Which store does not respond, and what to do; None if all do."""
    try:
        scorer.probe()
    except StoreUnavailable as error:
        return str(error)
    except PatronError:  # one that is empty, of which the checks and the note of the last build speak
        pass
    return None


def _checks(visit: Visit, examined: Sequence[Check]) -> PageTable:
    """The checks, failures and warnings first."""
    states = (checks.FAILED, checks.WARNING, checks.OK)
    rows = [
        {
            "part": visit.words.choice("check_part", check.part),
            "state": visit.words.choice("check_state", check.state),
            "result": check.result,
            "advice": check.advice,
        }
        for check in sorted(examined, key=lambda check: states.index(check.state))
    ]
    columns = [
        TableColumn("part", "data.part", is_row_header=True),
        TableColumn("state", "data.state"),
        TableColumn("result", "data.result", "prose"),
        TableColumn("advice", "data.advice", "prose"),
    ]
    return PageTable("data.checks", columns, rows)


def _rows(visit: Visit, record: Mapping[str, Any]) -> PageTable:
    """What became of the rows of the last import: those read are those accepted and those rejected."""
    words = visit.words
    accepted, rejected = record.get("kept", {}), record.get("set_aside", {})
    rows: list[Row] = [
        {"outcome": words("data.kept"), "reason": words.choice("import_table", name), "rows": count}
        for name, count in accepted.items()
    ]
    rows += [
        {"outcome": words("data.set_aside"), "reason": words.choice("rejected", reason), "rows": count}
        for reason, count in rejected.items()
    ]
    if rows:
        rows.append({"outcome": words("data.read"), "reason": None, "rows": record["read"]})
    columns = [
        TableColumn("outcome", "data.outcome", is_row_header=True),
        TableColumn("reason", "data.reason"),
        TableColumn("rows", "data.rows", "number"),
    ]
    return PageTable("data.import_rows", columns, rows, "data.no_import")


def _rejected(visit: Visit, record: Mapping[str, Any]) -> tuple[PageTable, str | None]:
    """The first rejected rows of each reason, without their customers; or why they cannot be read."""
    names: list[str] = []
    rows: list[dict[str, Any]] = []
    problem = None
    if record.get("set_aside"):
        try:
            names, rows = imports.rejected(visit, REJECTED_ROWS)
        except PatronError as error:
            problem = str(error)
    for row in rows:
        row["reason"] = visit.words.choice("rejected", row["reason"])
    columns = [TableColumn(name, f"data.column_{name}", COLUMNS.get(name, "data")) for name in names]
    return PageTable("data.rejected_rows", columns, rows, "data.none_rejected"), problem


def _months(months: Sequence[Mapping[str, Any]]) -> PageTable:
    counts, money = IMPORTED
    columns = [TableColumn("month", "data.month", "month", is_row_header=True)]
    columns += [TableColumn(name, f"data.{name}", "number") for name in counts]
    columns += [TableColumn(name, f"data.{name}", "money") for name in money]
    return PageTable("data.months", columns, months[::-1], "data.no_import")


def _quarantine(database: Database) -> PageTable:
    rows = [
        {"reason": r.reason, "events": r.count, "first": r.first, "last": r.last}
        for r in quarantine.reasons(database)
    ]
    columns = [
        TableColumn("reason", "data.reason", "prose", is_row_header=True),
        TableColumn("events", "data.events", "number"),
        TableColumn("first", "data.first", "moment"),
        TableColumn("last", "data.last", "moment"),
    ]
    return PageTable("data.quarantine", columns, rows, "data.no_quarantine")
