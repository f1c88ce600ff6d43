"""The SQL for warehouses whose servers no test has: it compiles, and changes only with its files.

``python -m tests.features.offline.test_warehouse_sql`` writes the files again.
"""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.expr.types as ir
import pytest

from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.warehouses import bigquery_compiler, medians, snowflake_compiler
from events.schema import POPULATION, Events
from events.warehouse import SOURCE
from events.warehouse.mapping import TABLES
from events.warehouse.tables import event_table
from features.catalogue.definitions import definitions as of_home
from features.groups import GROUPS, trait_values
from features.groups.purchases import median_gap_days, orders_90d, purchases
from features.groups.taste import favourite_category, taste

FOLDER = Path(__file__).parent / "warehouse_sql"
DIALECTS = ("bigquery", "clickhouse", "snowflake")
COMPILERS = {"bigquery": bigquery_compiler.COMPILER, "snowflake": snowflake_compiler.COMPILER}


def compiled(dialect: str) -> str:
    """The order lines of a company, and features with a window and a median, approximate where need be."""
    rows = {name: column.dtype for name, column in TABLES["order_lines"].items()}
    customers = ibis.table({"customer_key": "int64", "customer_id": "string"}, name="customers")
    source = ibis.table(rows, name="source")
    lines = event_table("order_lines", source, customers, "Europe/Berlin", dialect)
    population = ibis.table(POPULATION, name="population")
    values = purchases.compute(Events.unbound(), population, [orders_90d, median_gap_days])
    tables = [lines, medians.suited(values, dialect, approximate=True)]
    if dialect in COMPILERS:  # that of ClickHouse is compared by values
        tables += [conversions(), taste.compute(Events.unbound(), population, [favourite_category])]
    return "\n\n".join(f"{sql_of(table, dialect)};" for table in tables) + "\n"


def conversions() -> ir.Table:
    """Texts and numbers that become other types."""
    rows = ibis.table(
        {"text": "string", "number": "float64", "count": "int64", "is_so": "boolean"}, name="rows"
    )
    return rows.select(
        flag=trait_values.flag(rows.text),
        number=trait_values.number(rows.text),
        day=trait_values.day(rows.text),
        rating=rows.text.cast("json")["rating"].cast("string").try_cast("decimal(9, 4)"),
        json=rows.text.try_cast("json").isnull(),
        whole=rows.number.cast("int64"),
        exact=rows.number.cast("decimal(18, 4)"),
        share=rows["count"] / 3,
        units=rows["count"] // 3,
        later=ibis.greatest(rows["count"], 3),
        one=rows.is_so.cast("float64"),
    )


def sql_of(table: ir.Table, dialect: str) -> str:
    """The SQL of an expression, as a session compiles it."""
    if dialect not in COMPILERS:
        return str(ibis.to_sql(table, dialect=dialect))
    return str(COMPILERS[dialect].to_sqlglot(table).sql(dialect, pretty=True))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sql_is_that_of_the_file(dialect: str) -> None:
    assert compiled(dialect) == (FOLDER / f"{dialect}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_group_compiles(dialect: str) -> None:
    population = ibis.table(POPULATION, name="population")
    for group in GROUPS:
        values = group.compute(Events.unbound(), population)
        assert sql_of(medians.suited(values, dialect, approximate=True), dialect)


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
