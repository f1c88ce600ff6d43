"""All warnings about a classified file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from events.files.classify import Classified
from events.files.mapping import Mapping
from events.files.review import columns, days, monthly, order_numbers, rejections
from events.files.review.finding import Finding
from events.files.review.monthly import Month


@dataclass(frozen=True)
class Review:
    """What a person should see of an import before they trust it.

    Attributes:
        months: the summary by month.
        findings: the warnings.
        last_day: the last plausible day of orders and refunds; None without any.
        refused_because: why the file is not imported without ``--allow-rejects``; "" if it is.
    """

    months: list[Month]
    findings: list[Finding]
    last_day: int | None
    refused_because: str


def review(connection: duckdb.DuckDBPyConnection, classified: Classified, mapping: Mapping) -> Review:
    """The review of the file that ``classified`` and the event tables of the connection hold."""
    last, last_day = days.implausible(connection, mapping.shop.time_zone)
    return Review(
        monthly.summary(connection, mapping.shop.time_zone),
        [*last, *_findings(connection, classified, mapping)],
        last_day,
        rejections.refused_because(connection, classified.counts, mapping),
    )


def _findings(
    connection: duckdb.DuckDBPyConnection, classified: Classified, mapping: Mapping
) -> Iterator[Finding]:
    yield from rejections.rejections(connection, classified.counts, mapping)
    yield from days.swapped(connection, mapping)
    yield from columns.ids(connection, mapping)
    if mapping.orders is not None:
        yield from order_numbers.doubts(connection, classified.repeated)
    if mapping.customers is None:
        yield from columns.unmapped(connection, classified.unmapped)
