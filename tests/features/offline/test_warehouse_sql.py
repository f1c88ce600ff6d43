"""The SQL for warehouses to which Patron does not connect: it compiles, and changes only with its files.

``python -m tests.features.offline.test_warehouse_sql`` writes the files again.
"""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.common.exceptions
import pytest

from events.schema import POPULATION, Events
from events.warehouse.mapping import TABLES
from events.warehouse.tables import event_table
from features.groups import GROUPS
from features.groups.purchases import median_gap_days, orders_90d, purchases

FOLDER = Path(__file__).parent / "warehouse_sql"
DIALECTS = ("bigquery", "clickhouse", "snowflake")
WITHOUT_EXACT_MEDIAN = {"bigquery": {"purchases", "segments"}}


def compiled(dialect: str) -> str:
    """The order lines of a company, and features with a window and, where it is exact, a median."""
    rows = {name: column.dtype for name, column in TABLES["order_lines"].items()}
    customers = ibis.table({"customer_key": "int64", "customer_id": "string"}, name="customers")
    source = ibis.table(rows, name="source")
    lines = event_table("order_lines", source, customers, "Europe/Berlin", dialect)
    wanted = [orders_90d] if dialect in WITHOUT_EXACT_MEDIAN else [orders_90d, median_gap_days]
    values = purchases.compute(Events.unbound(), ibis.table(POPULATION, name="population"), wanted)
    return "\n\n".join(f"{ibis.to_sql(table, dialect=dialect)};" for table in (lines, values)) + "\n"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sql_is_that_of_the_file(dialect: str) -> None:
    assert compiled(dialect) == (FOLDER / f"{dialect}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_group_compiles_unless_it_needs_an_exact_median(dialect: str) -> None:
    population, refused = ibis.table(POPULATION, name="population"), {}
    for group in GROUPS:
        try:
            ibis.to_sql(group.compute(Events.unbound(), population), dialect=dialect)
        except ibis.common.exceptions.OperationNotDefinedError as error:
            refused[group.name] = "'Median'" in str(error)
    assert refused == dict.fromkeys(WITHOUT_EXACT_MEDIAN.get(dialect, ()), True)


if __name__ == "__main__":
    for each in DIALECTS:
        (FOLDER / f"{each}.sql").write_text(compiled(each), encoding="utf-8")
