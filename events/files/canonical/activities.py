"""Rows of a company's own log → ``classified`` and ``activities``: visits, messages, reviews, complaints."""

from __future__ import annotations

from collections.abc import Mapping as Translations

import duckdb

from core.storage import sql
from events.files import expressions
from events.files.canonical.rows import UNTIMELY, with_duplicates
from events.files.mapping import Mapping
from events.files.sections import ActivitiesSection
from events.taxonomy import MEANINGS


def classify_activities(
    connection: duckdb.DuckDBPyConnection, activities: ActivitiesSection, mapping: Mapping
) -> None:
    """Make ``classified`` of ``raw``."""
    zone, formats = mapping.shop.time_zone, activities.time_formats
    received = (
        expressions.moment(activities.received_at, formats, zone) if activities.received_at else "timestamp"
    )
    amount = expressions.number(activities.amount, mapping.file) if activities.amount else "NULL::DOUBLE"
    wrong = "false"
    if activities.amount:
        written = f"{_text(activities.amount)} IS NOT NULL"
        wrong = f"({written} AND NOT coalesce(abs(amount) < 1e12, false))"
    connection.execute(
        f"""
        CREATE TABLE classified AS
        WITH parsed AS (
            SELECT *, {expressions.customer(activities.customer)} AS customer_id,
                {expressions.moment(activities.time, formats, zone)} AS timestamp, {amount} AS amount,
                {_name(activities)} AS event_name
            FROM ({with_duplicates(activities.columns(), activities.identical_lines)})),
        received AS (SELECT *, {received} AS received_at FROM parsed)
        SELECT *, NULL::VARCHAR AS order_id, CASE
            WHEN {UNTIMELY} OR event_name IS NULL OR {wrong} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer'
            WHEN duplicate_of < row_number THEN 'duplicate' END AS reason FROM received
        """
    )


def make_activities(connection: duckdb.DuckDBPyConnection, activities: ActivitiesSection) -> None:
    """Make ``activities`` of the accepted rows."""
    known = {name: meaning.channel for name, meaning in MEANINGS.items() if meaning.channel}
    kinds = {name: meaning.kind for name, meaning in MEANINGS.items()}
    pairs = ", ".join(
        f"{sql.literal(name)}, {_text(column)}" for name, column in activities.properties.items()
    )
    connection.execute(
        f"""
        CREATE TABLE activities AS SELECT customer_id, timestamp, received_at, event_name AS name,
            {_translated("event_name", kinds, "NULL")} AS kind,
            {_translated("event_name", known, _text(activities.channel))} AS channel,
            {_text(activities.reference)} AS reference, {_text(activities.product)} AS product_id,
            {_text(activities.category)} AS category, amount, json_object({pairs})::VARCHAR AS properties
        FROM classified WHERE reason IS NULL
        """
    )


def _text(column: str | None) -> str:
    return f"nullif({expressions.text(column)}, '')" if column else "NULL::VARCHAR"


def _name(activities: ActivitiesSection) -> str:
    if activities.event is not None:
        return sql.literal(activities.event)
    text = _text(activities.name)
    return _translated(text, activities.names, text)


def _translated(value: str, translations: Translations[str, str], otherwise: str) -> str:
    """The translation of a text, as SQL."""
    cases = "".join(f" WHEN {sql.literal(k)} THEN {sql.literal(v)}" for k, v in translations.items())
    return f"CASE {value}{cases} ELSE {otherwise} END" if cases else otherwise
