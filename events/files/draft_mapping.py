"""A draft of a file's mapping by the names and the content of its columns; doubts are marked ``# unsure``."""

from __future__ import annotations

import re

import duckdb

from core.storage import sql
from events.files.drafting import numbers, skeleton
from events.files.drafting.findings import Findings, find_out
from events.files.drafting.profiles import SAMPLE
from events.files.drafting.sections import Draft, add_customers, add_orders
from events.files.drafting.skeleton import quoted
from events.files.mapping import FileSection
from events.files.readers.database import is_database, short_name
from events.files.readers.opening import open_source

MAX_DATABASE_ROWS = 200_000
_CONTROLS = re.compile(r"[\x00-\x08\n-\x1f\x7f]")  # TOML allows none, also not in comments
_CURRENCIES = {
    "€": "EUR",
    "$": "USD",
    "£": "GBP",
    "¥": "CNY",
    "￥": "CNY",
    "元": "CNY",
    "₹": "INR",
    "zł": "PLN",
}


def draft(connection: duckdb.DuckDBPyConnection, place: str, table: str | None = None) -> str:
    """A mapping of a file or database table, as TOML; a skeleton of comments where too little is recognized.

    Roles are found in the first 20,000 rows; how numbers and times are written is decided over all rows.

    Raises:
        PatronError: what is there cannot be read as a table.
    """
    with open_source(connection, place, FileSection(), table, limit=MAX_DATABASE_ROWS) as source:
        findings = find_out(connection, source)
    name = short_name(place, table)
    argument = f"URL#{name}" if is_database(place) else name
    out = Draft(
        [
            f"# Drafted from {name}; check what is marked unsure, then:"
            f" patron import {argument} --as THIS_FILE.toml"
        ]
    )
    out.lines += [f"# It was read as {source.format}.", *(f"# {note}" for note in source.notes), ""]
    out.lines += ["[shop]"]
    out.say("time_zone", '"UTC"', "the file does not say; use the shop's, such as Europe/London")
    _currency(out, findings)
    _file(out, source.file, findings.number_style)
    roles = findings.roles
    if "customer" not in roles or "time" not in roles:
        out.lines += ["", *skeleton.lines(findings.columns, roles, argument)]
    elif "amount" in roles or "unit_price" in roles or "order" in roles:
        add_orders(out, findings)
    else:
        add_customers(out, findings)
    return "".join(f"{_CONTROLS.sub(' ', line)}\n" for line in out.lines)


def _currency(out: Draft, findings: Findings) -> None:
    if "currency" in findings.roles:
        name = sql.name(findings.roles["currency"])
        counts = findings.connection.execute(
            f"SELECT upper({name}) AS code, count(*) FROM {SAMPLE} WHERE {name} <> ''"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        codes = [str(code) for code, _ in counts]
        others = f"rows in {', '.join(codes[1:4])} will be set aside" if len(codes) > 1 else ""
        out.say("currency", quoted(codes[0]), others)
        return
    money = findings.roles.get("amount") or findings.roles.get("unit_price")
    samples = findings.columns.profiles[money].samples if money else ()
    signs = [code for sign, code in _CURRENCIES.items() if any(sign in text for text in samples)]
    out.say(
        "currency",
        quoted(signs[0] if signs else "EUR"),
        "the file does not say" if not signs else "by the sign",
    )


def _file(out: Draft, file: FileSection, style: numbers.NumberStyle) -> None:
    settings = Draft()
    if file.encoding not in (None, "utf-8"):
        settings.say("encoding", quoted(str(file.encoding)))
    if file.delimiter == "whitespace":
        settings.say("delimiter", quoted(file.delimiter))
    if file.sheet is not None:
        settings.say("sheet", quoted(file.sheet))
    if file.skip_lines:
        settings.say("skip_lines", str(file.skip_lines))
    if file.header is False:
        settings.say("header", "false", "the first line looks like data; if it names the columns, write true")
    if style.decimal == "," or style.doubt:
        settings.say("decimal", quoted(style.decimal), style.doubt)
    if style.thousands:
        settings.say("thousands", quoted(style.thousands))
    if settings.lines:
        out.lines += ["", "[file]", *settings.lines]
