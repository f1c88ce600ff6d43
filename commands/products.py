"""The command for products: what a customer buys next, and what is bought together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.common import AsJson, known_key, open_home, print_result, progress_bar

app = typer.Typer()


@app.command()
def products(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's id; none with --out and --rules.", metavar="CUSTOMER")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many of each customer.")] = 10,
    new_only: Annotated[
        bool, typer.Option("--new-only", help="Only products that a customer has not bought before.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Everyone's, into a .parquet, .ndjson or .csv file.", metavar="FILE")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Which products are bought together, with support, confidence and lift, into such a file.",
            metavar="FILE",
        ),
    ] = None,
    least_baskets: Annotated[
        int, typer.Option(min=1, help="Of a rule: baskets that have both products, else it is left out.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Tell what a customer, or everyone, buys next and why; or which products are bought together."""
    if [customer, out, rules].count(None) != 2:
        raise typer.BadParameter("say a CUSTOMER, or --out FILE for everyone, or --rules FILE")
    if rules is not None:
        _write_rules(rules, least_baskets, as_json)
    elif out is not None:
        _rank_everyone(out, limit, new_only, as_json)
    elif customer is not None:
        done = _ranked(customer, limit, new_only)
        print_result(as_json, done, "\n".join(_lines(done)))


def _ranked(customer_id: str, limit: int, new_only: bool) -> dict[str, Any]:
    from models.products.published import open_champion
    from models.registry.registry import Registry
    from serving.rankings.products import ranked

    home = open_home()
    key = known_key(home, customer_id, "products")
    return ranked(open_champion(Registry(home)), key, customer_id, limit, new_only)


def _lines(done: dict[str, Any]) -> list[str]:
    """What one customer buys next, a line per product."""
    head = f"{done['customer_id']}, by version {done['version']}, as of {done['as_of']:%Y-%m-%d %H:%M} UTC"
    rows = done["products"]
    width = max((len(row["product_id"]) for row in rows), default=0)
    lines = [f"  {row['product_id']:<{width}}  {row['score']:>6.1%}  {row['reason']}" for row in rows]
    lines = lines or ["  nothing: the shop has no product that may be meant"]
    return [head, *([f"  {done['reason']}"] if done["reason"] else []), *lines]


def _rank_everyone(out: Path, limit: int, new_only: bool, as_json: bool) -> None:
    from models.products.published import open_champion
    from models.registry.registry import Registry
    from serving.rankings.products import rank_everyone

    home = open_home()
    home.shop()
    with progress_bar(as_json) as progress:
        published = open_champion(Registry(home))
        done = rank_everyone(home, published, out, limit, new_only, progress)
    print_result(
        as_json,
        done,
        f"ranked products for {done['customers']:,} customers, by version {done['version']}, into {out}",
    )


def _write_rules(out: Path, least_baskets: int, as_json: bool) -> None:
    from serving.rankings.products import write_rules

    done = write_rules(open_home(), out, least_baskets)
    print_result(as_json, done, f"wrote {done['rules']:,} rules into {out}, the highest lift first")
