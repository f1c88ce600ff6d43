"""What the clocks of a time zone show, as an Ibis expression for each engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ibis
import ibis.expr.types as ir

MOMENT = "timestamp('UTC', 6)"
_NAIVE = "timestamp(6)"


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", MOMENT), _NAIVE))
def _timezone(zone, moment):  # type: ignore[no-untyped-def]
    """What the clocks of a zone show at a moment: of PostgreSQL and DuckDB."""


@ibis.udf.scalar.builtin(name="convert_timezone", signature=(("string", MOMENT), _NAIVE))
def _convert_timezone(zone, moment):  # type: ignore[no-untyped-def]
    """Snowflake's."""


@ibis.udf.scalar.builtin(name="datetime", signature=((MOMENT, "string"), _NAIVE))
def _datetime(moment, zone):  # type: ignore[no-untyped-def]
    """BigQuery's."""


@ibis.udf.scalar.builtin(name="toTimeZone", signature=((MOMENT, "string"), _NAIVE))
def _to_time_zone(moment, zone):  # type: ignore[no-untyped-def]
    """ClickHouse's moment, shown in a zone."""


@ibis.udf.scalar.builtin(name="timeZoneOffset", signature=((_NAIVE,), "int32"))
def _time_zone_offset(moment):  # type: ignore[no-untyped-def]
    """The seconds by which ClickHouse shows a moment later than in UTC."""


@ibis.udf.scalar.builtin(name="addSeconds", signature=((_NAIVE, "int32"), _NAIVE))
def _add_seconds(moment, seconds):  # type: ignore[no-untyped-def]
    """ClickHouse's later moment."""


def _local_in_clickhouse(zone: ir.StringValue | str, moment: ir.TimestampValue) -> ir.TimestampValue:
    # In UTC, since the zone is a part of ClickHouse's type, and one column has one type.
    offset = _time_zone_offset(_to_time_zone(moment, zone))
    shown: ir.TimestampValue = _add_seconds(_to_time_zone(moment, "UTC"), offset)
    return shown


_LOCAL: Mapping[str, Callable[..., ir.TimestampValue]] = {
    "duckdb": _timezone,
    "postgres": _timezone,
    "snowflake": _convert_timezone,
    "bigquery": lambda zone, moment: _datetime(moment, zone),
    "clickhouse": _local_in_clickhouse,
}


def local_time(engine: str, zone: ir.StringValue | str, moment: ir.TimestampValue) -> ir.TimestampValue:
    """What the clocks of a zone show at a moment, which has a time zone itself.

    Args:
        engine: Ibis' name of the engine.
        zone: a name, such as Europe/Berlin; a column too, but for ClickHouse.
    """
    return _LOCAL[engine](zone, moment)


def local_times(
    engine: str, zone: ir.StringValue, zones: Sequence[str], moment: ir.TimestampValue
) -> ir.TimestampValue:
    """What the clocks of a column's zones show; ClickHouse converts to a constant zone only.

    Args:
        zones: all that the column has.
    """
    if engine != "clickhouse":
        return local_time(engine, zone, moment)
    branches = [(zone == name, local_time(engine, name, moment)) for name in zones]
    shown: ir.TimestampValue = ibis.cases(*branches)
    return shown
