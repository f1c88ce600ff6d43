"""Commands for the shop's monthly key figures, and for its cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.common import AsJson, open_home, print_result

app = typer.Typer()
Out = Annotated[
    Path | None, typer.Option(help="Also write all of them to this file: .parquet, .ndjson, .csv or .xlsx.")
]
_COLUMNS = {
    "customers_active": "active",
    "customers_new": "new",
    "customers_returning": "returning",
    "customers_lapsed": "lapsed",
    "orders": "orders",
    "gross": "gross",
    "refunds": "refunds",
    "net": "net",
    "average_order_value": "per order",
    "repeat_share": "repeat",
}
MAX_MONTHS = 12  # of a cohort, in a line of text


@app.command()
def kpis(
    out: Out = None,
    months: Annotated[int, typer.Option(min=1, max=600, help="The last months to print.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Print customers, orders and revenue by month: active, new, returning and lapsed customers."""
    from features.offline.kpis import KPIS

    result = _compute(KPIS, out)
    if out is not None:
        _write(result["months"], out)
    shown = result | {"months": result["months"][-months:]}
    head = f"{'month':<10}" + "".join(f"{name:>12}" for name in _COLUMNS.values())
    rows = [
        f"{m['month'] + ('' if m['complete'] else '*'):<10}" + "".join(_cell(k, m[k]) for k in _COLUMNS)
        for m in shown["months"]
    ]
    lapsed = f"lapsed: {result['lapsed_after_days']} days without an order"
    notes = f"money in {result['currency']}; repeat: share of orders after the first; {lapsed}; * not over"
    print_result(as_json, shown, "\n".join([head, *rows, notes]))


@app.command()
def cohorts(
    out: Out = None,
    months: Annotated[int, typer.Option(min=1, max=600, help="The last cohorts to print.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Print retention: the share of customers who ordered again, by the months since their first order."""
    from features.offline.kpis import COHORTS

    result = _compute(COHORTS, out)
    if out is not None:
        _write(
            [
                {"cohort": cohort["cohort"], "customers": cohort["customers"]} | month
                for cohort in result["cohorts"]
                for month in cohort["months"]
            ],
            out,
        )
    shown = result | {"cohorts": result["cohorts"][-months:]}
    head = f"{'cohort':<10}{'customers':>10}" + "".join(f"{f'+{i}':>6}" for i in range(1, MAX_MONTHS + 1))
    rows = [
        f"{c['cohort']:<10}{c['customers']:>10,}"
        + "".join(f"{m['share_active']:>6.0%}" for m in c["months"][1 : MAX_MONTHS + 1])
        for c in shown["cohorts"]
    ]
    note = "customers by the month of their first order; +n: share who ordered n months later"
    print_result(as_json, shown, "\n".join([head, *rows, note]))


def _compute(name: str, out: Path | None) -> dict[str, Any]:
    """The result of that name, as known now; fails before that if ``out`` cannot be written."""
    from features.offline.kpis import compute
    from serving.files import tables, writing

    if out is not None:
        writing.check_place(out, tables.KINDS)
    home = open_home()
    return compute(home, home.shop().now())[name]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return f"{'-':>12}"
    if name == "repeat_share":
        return f"{value:>12.0%}"
    return f"{value:>12,.2f}" if isinstance(value, float) else f"{value:>12,}"


def _write(rows: list[dict[str, Any]], out: Path) -> None:
    """Write rows into a file, in one step."""
    import pyarrow as pa

    from core.errors import NothingThere
    from serving.files import tables

    if not rows:
        raise NothingThere(f"{out} was not written: this shop has no orders yet")
    tables.write(iter([pa.Table.from_pylist(rows)]), out)
