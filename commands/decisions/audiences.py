"""The command that lists the audiences of a home, and writes the customers of one into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result

app = typer.Typer()


@app.command()
def audiences(
    name: Annotated[str | None, typer.Argument(help="Only this audience.", metavar="NAME")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Its customers: .parquet, .ndjson, .csv or .xlsx.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the audiences with size, value and reach; write the customers of one into a file."""
    from decisions.catalogue.audience_sizes import list_audiences

    if out is not None and name is None:
        raise typer.BadParameter("--out takes the NAME of an audience")
    home = open_home()
    home.shop()
    if name is not None and out is not None:
        from serving.audiences.members import write_members

        written = write_members(home, name, out)
        audited(home, "listed customers", name)
        print_result(as_json, written, f"wrote {written['customers']:,} customers of {name} into {out}")
        return
    result = list_audiences(home, name)
    lines = [_line(row) for row in result["audiences"]] or ["there are no audiences"]
    print_result(as_json, result, "\n".join(lines))


def _line(row: dict[str, Any]) -> str:
    size = "-" if row["customers"] is None else f"{row['customers']:,}"
    unknown = ", clv unknown until `patron train clv` and `patron score`"
    value = unknown if row["clv"] is None else f", clv {row['clv']:,.2f}"
    shares = ", ".join(f"{channel} {share:.0%}" for channel, share in (row["reach_share"] or {}).items())
    reach = f", reached by {shares}" if shares else ""
    return f"{row['name']}: {size} customers{value}{reach}; {row['rule']}"
