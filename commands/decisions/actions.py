"""The command that lists and checks the actions of a home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.common import AsJson, open_home, print_result

app = typer.Typer()


@app.command()
def actions(
    file: Annotated[
        Path | None, typer.Option(help="Check this file instead of the home's actions.toml.", metavar="FILE")
    ] = None,
    funnel: Annotated[
        bool,
        typer.Option(
            "--funnel", help="How many customers each action reaches at each stage, by the newest run."
        ),
    ] = False,
    days: Annotated[int, typer.Option(help="The days of contacts in a funnel.", min=1, max=3650)] = 30,
    as_json: AsJson = False,
) -> None:
    """List and check the actions: how many customers fit each now, and what looks like a mistake."""
    if funnel:
        if file is not None:
            raise typer.BadParameter("--funnel is of the home's actions.toml; leave out --file")
        _print_funnel(days, as_json)
        return
    from decisions.catalogue.listing import listing

    result = listing(open_home(), file)
    print_result(as_json, result, "\n".join([*_table(result), *_audiences(result), *_warnings(result)]))


def _print_funnel(days: int, as_json: bool) -> None:
    from decisions.results.newest_funnel import read
    from records.decisions import DecisionLog

    home = open_home()
    home.shop()
    with DecisionLog(home) as log:
        result = read(log, days)
    run = "a preview" if result["run_id"] is None else f"run {result['run_id']}"
    head = f"as of {result['as_of'][:10]}, {run}"
    lines = [f"{row['action']}: {row['words']['en']}" for row in result["actions"]]
    print_result(as_json, result, "\n".join([head, *lines]))


def _table(result: dict[str, Any]) -> list[str]:
    customers = result["customers"]
    head = f"{'action':<24}{'channel':<12}{'group':<12}{'state':<12}{'fit now':>12}  rule"
    rows = [
        f"{row['name']:<24}{row['channel']:<12}{row['group'] or '':<12}{row['state']:<12}"
        f"{_count(row['fits']):>12}  {row['rule'] or 'everybody'}"
        for row in result["actions"]
    ]
    of = (
        "nothing was built yet; `patron build` counts who fits"
        if customers is None
        else f"{customers:,} customers"
    )
    return [head, *rows, of]


def _audiences(result: dict[str, Any]) -> list[str]:
    return [
        f"audience {row['name']}: {_count(row['customers'])} customers, {row['rule']}"
        for row in result["audiences"]
    ]


def _warnings(result: dict[str, Any]) -> list[str]:
    return [f"warning: {warning['en']}" for warning in result["warnings"]]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
