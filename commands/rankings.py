"""The commands that rank products and categories for a customer or for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, known_key, open_home, print_result, progress_bar

if TYPE_CHECKING:
    from core.home import Home
    from serving.rankings.ranking import R, RankingKind

app = typer.Typer()
Out = Annotated[
    Path | None,
    typer.Option(help="Everyone's, into this file: .parquet, .ndjson, .csv or .xlsx.", metavar="FILE"),
]


@app.command()
def products(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's id; none with --out and --rules.", metavar="CUSTOMER")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many of each customer.")] = 10,
    new_only: Annotated[
        bool, typer.Option("--new-only", help="Only products that a customer has not bought before.")
    ] = False,
    out: Out = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Which products are bought together, with support, confidence and lift, into such a file.",
            metavar="FILE",
        ),
    ] = None,
    least_baskets: Annotated[
        int, typer.Option(min=1, help="Leave out rules with fewer baskets that have both products.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Rank the products that a customer, or everyone, buys next; or write which are bought together."""
    from serving.rankings.files import rank_everyone, write_rules
    from serving.rankings.ranking import PRODUCTS
    from serving.rankings.stocked import in_stock

    if [customer, out, rules].count(None) != 2:
        raise typer.BadParameter("say a CUSTOMER, or --out FILE for everyone, or --rules FILE")
    home = open_home()
    if rules is not None:
        result = write_rules(home, rules, least_baskets)
        print_result(as_json, result, f"wrote {result['rules']:,} rules into {rules}, the highest lift first")
        return
    if customer is not None:
        key = known_key(home, customer, PRODUCTS.items)
        ranking = in_stock(home, replace(_champion(home, PRODUCTS), new_only=new_only))
        audited(home, "looked at a customer", str(key))
        _print_ranked(as_json, PRODUCTS, PRODUCTS.response(ranking, key, customer, limit))
    if out is not None:
        home.shop()
        with progress_bar(as_json) as progress:
            ranking = in_stock(home, replace(_champion(home, PRODUCTS), new_only=new_only))
            result = rank_everyone(home, PRODUCTS, ranking, out, limit, progress)
        audited(home, "exported a ranking", "products")
        _print_written(as_json, result, "ranked products for")


@app.command()
def categories(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's id; none with --out.", metavar="CUSTOMER")
    ] = None,
    out: Out = None,
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
    """Rank the categories that a customer, or everyone, orders of soon; or the customers of a category."""
    from serving.rankings.files import best_customers, rank_everyone
    from serving.rankings.ranking import CATEGORIES

    if (customer is None) == (out is None) or (category is not None and out is None):
        raise typer.BadParameter(
            "say a CUSTOMER, or --out FILE for everyone, with --category for one of them"
        )
    home = open_home()
    if customer is not None:
        key = known_key(home, customer, CATEGORIES.items)
        ranking = _champion(home, CATEGORIES)
        audited(home, "looked at a customer", str(key))
        _print_ranked(as_json, CATEGORIES, CATEGORIES.response(ranking, key, customer, limit))
    if out is not None:
        home.shop()
        with progress_bar(as_json) as progress:
            ranking = _champion(home, CATEGORIES)
            if category is None:
                what, result = "categories", rank_everyone(home, CATEGORIES, ranking, out, limit, progress)
            else:
                what = f"propensity for {category}"
                result = best_customers(home, ranking, category, out, limit, progress)
        audited(home, "exported a ranking", category or "categories")
        _print_written(as_json, result, f"{what} of")


def _champion(home: Home, kind: RankingKind[R]) -> R:
    from models.registry.registry import Registry

    return kind.open_champion(Registry(home))


def _print_ranked(as_json: bool, kind: RankingKind[Any], result: dict[str, Any]) -> None:
    """Print the items of one customer, a line each."""
    rows, item = result[kind.items], kind.item
    horizon = f", within {result['horizon_days']} days" if "horizon_days" in result else ""
    made = f"by version {result['version']}, as of {result['as_of']:%Y-%m-%d %H:%M} UTC"
    lines = [f"{result['customer_id']}{horizon}, {made}"]
    if result["reason"]:
        lines.append(f"  {result['reason']}")
    elif not rows:
        lines.append("  nothing: the shop has no product that may be meant")
    width = max((len(row[item]) for row in rows), default=0)
    lines += [
        f"  {row[item]:<{width}}  {row['score']:>6.1%}  {row['reason']}"
        + (f" ({row['name']})" if row.get("name") else "")
        for row in rows
    ]
    print_result(as_json, result, "\n".join(lines))


def _print_written(as_json: bool, result: dict[str, Any], what: str) -> None:
    text = f"{what} {result['customers']:,} customers, by version {result['version']}, into {result['out']}"
    print_result(as_json, result, text)
