"""Commands for a lake in a warehouse."""

from __future__ import annotations

import typer

from commands.common import AsJson, Exit, open_home, print_result

app = typer.Typer(help="Check a lake that is in a warehouse.", no_args_is_help=True)


@app.callback()
def lake() -> None:
    """Check a lake that is in a warehouse."""


@app.command("check")
def check_lake(as_json: AsJson = False) -> None:
    """Check the queries in the home's folder warehouse/ and their rows: columns, types, nulls, ids, dates."""
    from dataclasses import asdict

    from events import warehouse

    home = open_home()
    rows, problems = warehouse.check(home, warehouse.connect(home.warehouse))
    lines = [f"{table:<14}{count:>14,} rows" for table, count in rows.items()]
    lines += [problem.text for problem in problems]
    done = {"rows": rows, "problems": [asdict(problem) for problem in problems]}
    text = "\n".join(
        [*lines, f"{len(problems):,} to correct" if problems else "the warehouse has what is needed"]
    )
    print_result(as_json, done, text, Exit.CHECK_FAILED if problems else Exit.DONE)
