"""The command for product categories: of which a customer orders soon, and who are the best of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import AsJson, known_key, open_home, print_result, progress_bar

if TYPE_CHECKING:
    from models.categories.published import Published

app = typer.Typer()


@app.command()
def categories(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's id; none with --out.", metavar="CUSTOMER")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Everyone's, into a .parquet, .ndjson or .csv file.", metavar="FILE"),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="With --out: the customers of this one, the likeliest first.", metavar="CATEGORY"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many categories of each customer; with --category, so many customers."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell of which categories a customer, or everyone, orders soon; or the best customers of a category."""
    if (customer is None) == (out is None) or (category is not None and out is None):
        raise typer.BadParameter(
            "say a CUSTOMER, or --out FILE for everyone, with --category for one of them"
        )
    if out is not None:
        _write(out, category, limit, as_json)
    elif customer is not None:
        done = _of_one(customer, limit)
        print_result(as_json, done, "\n".join(_lines(done)))


def _of_one(customer_id: str, limit: int | None) -> dict[str, Any]:
    from serving.rankings.categories import propensities

    home = open_home()
    key = known_key(home, customer_id, "categories")
    return propensities(_published(home), key, customer_id, limit)


def _lines(done: dict[str, Any]) -> list[str]:
    """The categories of one customer, a line each."""
    head = (
        f"{done['customer_id']}, within {done['horizon_days']} days, by version {done['version']},"
        f" as of {done['as_of']:%Y-%m-%d %H:%M} UTC"
    )
    rows = done["categories"]
    width = max((len(row["category"]) for row in rows), default=0)
    lines = [f"  {row['category']:<{width}}  {row['score']:>6.1%}  {row['reason']}" for row in rows]
    return [head, *(lines or [f"  {done['reason']}"])]


def _write(out: Path, category: str | None, limit: int | None, as_json: bool) -> None:
    from serving.rankings.categories import best_customers, score_everyone

    home = open_home()
    home.shop()
    with progress_bar(as_json) as progress:
        published = _published(home)
        if category is None:
            done = score_everyone(home, published, out, limit, progress)
        else:
            done = best_customers(home, published, category, out, limit, progress)
    what = "categories" if category is None else f"propensity for {category}"
    print_result(
        as_json, done, f"{what} of {done['customers']:,} customers, by version {done['version']}, into {out}"
    )


def _published(home: Any) -> Published:
    from models.categories.published import open_champion
    from models.registry.registry import Registry

    return open_champion(Registry(home))
