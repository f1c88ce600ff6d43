"""The SQL for warehouses to which Patron does not connect: it compiles, and changes only with its files.

``python -m tests.features.offline.test_warehouse_sql`` writes the files again.
"""

from __future__ import annotations

from pathlib import Path

import ibis
import pytest

from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.warehouses import medians
from events.schema import POPULATION, Events
from events.warehouse import SOURCE
from events.warehouse.mapping import TABLES
from events.warehouse.tables import event_table
from features.catalogue.definitions import definitions as of_home
from features.groups import GROUPS
from features.groups.purchases import median_gap_days, orders_90d, purchases

FOLDER = Path(__file__).parent / "warehouse_sql"
DIALECTS = ("bigquery", "clickhouse", "snowflake")


def compiled(dialect: str) -> str:
    """The order lines of a company, and features with a window and a median, approximate where need be."""
    rows = {name: column.dtype for name, column in TABLES["order_lines"].items()}
    customers = ibis.table({"customer_key": "int64", "customer_id": "string"}, name="customers")
    source = ibis.table(rows, name="source")
    lines = event_table("order_lines", source, customers, "Europe/Berlin", dialect)
    population = ibis.table(POPULATION, name="population")
    values = purchases.compute(Events.unbound(), population, [orders_90d, median_gap_days])
    values = medians.suited(values, dialect, approximate=True)
    return "\n\n".join(f"{ibis.to_sql(table, dialect=dialect)};" for table in (lines, values)) + "\n"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sql_is_that_of_the_file(dialect: str) -> None:
    assert compiled(dialect) == (FOLDER / f"{dialect}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_group_compiles(dialect: str) -> None:
    population = ibis.table(POPULATION, name="population")
    for group in GROUPS:
        values = group.compute(Events.unbound(), population)
        assert ibis.to_sql(medians.suited(values, dialect, approximate=True), dialect=dialect)


def test_an_exact_median_is_refused_by_name_where_there_is_none() -> None:
    values = purchases.compute(Events.unbound(), ibis.table(POPULATION, name="population"))
    with pytest.raises(PatronError, match="BigQuery has no exact median, which median_gap_days needs; write"):
        medians.suited(values, "bigquery", approximate=False)
    assert medians.suited(values, "snowflake", approximate=False) is values


def test_an_approximate_median_has_another_definition(tmp_path: Path) -> None:
    definitions = []
    for name, approximate in (("exact", False), ("approximate", True)):
        home = Home(tmp_path / name)
        home.write_shop(Shop(SOURCE, "UTC", "EUR", Clock(), approximate=approximate))
        assert home.shop().approximate == approximate
        definitions.append(of_home(home))
    changed = {name for name, definition in definitions[0].items() if definitions[1][name] != definition}
    assert {"median_gap_days", "overdue_ratio"} <= changed
    assert {"orders_total", "longest_gap_days", "country"}.isdisjoint(changed)


if __name__ == "__main__":
    for each in DIALECTS:
        (FOLDER / f"{each}.sql").write_text(compiled(each), encoding="utf-8")
