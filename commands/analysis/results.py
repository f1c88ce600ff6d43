"""Commands for results: whether the decisions paid; and for the holdout that they are compared with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, Exit, open_home, print_result

app = typer.Typer()


@app.command()
def results(
    month: Annotated[
        str | None, typer.Option(help="Only this month, such as 2026-03.", metavar="MONTH")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Also by value_tier, rfm_segment or lifecycle_stage.", metavar="FEATURE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute what actions brought: treated customers against the holdout, each action against nothing."""
    from decisions.results import report

    if by is not None and by not in report.SEGMENTS:
        raise typer.BadParameter(f"--by takes {', '.join(report.SEGMENTS)}")
    made = report.select(report.update(open_home()), month, by)
    print_result(as_json, made, "\n".join(_lines(made, month is not None, by is not None)))


@app.command()
def holdout(
    rotate: Annotated[bool, typer.Option(help="Draw the holdout anew; ends what is measured.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Rotate without being asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the holdout, or draw it anew."""
    from decisions import holdout as lasting
    from decisions.results import report

    home = open_home()
    before = report.update(home)
    group, text = before["holdout"], before["words"]["en"]
    if group is not None:
        share = f"{group['share']:.1%} declared"
        head = f"holdout since {group['since'][:10]} (rotation {group['rotation']}), {share}"
        count = f"{group['holdout']:,} of {group['holdout'] + group['treated']:,} customers"
        text = f"{head}: {count}; {text}"
    if not rotate:
        print_result(as_json, {"holdout": group, "words": before["words"]}, text)
        return
    if not yes:
        why = f"{text}\nA rotation ends this comparison and starts at zero; pass --yes to rotate."
        print_result(as_json, {"holdout": group, "rotated": False}, why, Exit.CHECK_FAILED)
    rotation = lasting.rotate(home)
    audited(home, "rotated the holdout", str(rotation))
    ended = {"ended": group, "rotation": rotation, "rotated": True, "words": before["words"]}
    print_result(as_json, ended, f"{text}\nended; the holdout is drawn anew (rotation {rotation})")


@app.command()
def outcomes(
    file: Annotated[
        str,
        typer.Argument(help="A file with decision_id, outcome, and optionally value and at.", metavar="FILE"),
    ],
    as_json: AsJson = False,
) -> None:
    """Record outcomes of decisions from a file: CSV, spreadsheet, NDJSON, or URL#TABLE."""
    from decisions.results.outcomes_file import import_outcomes

    home = open_home()
    done = import_outcomes(home, file)
    audited(home, "imported outcomes", str(done["recorded"]))
    repeated = f"{done['repeated']:,} were recorded before"
    lines = [f"{done['recorded']:,} of {done['rows']:,} outcomes recorded, {repeated}"]
    lines += [f"  {count:>9,}  rejected: {why.replace('_', ' ')}" for why, count in done["rejected"].items()]
    print_result(as_json, done, "\n".join(lines))


def _lines(made: dict[str, Any], months: bool, segments: bool) -> list[str]:
    """The report as text."""
    lines = [f"results as of {made['as_of'][:10]}, money in {made['currency']}"]
    if group := made["holdout"]:
        moved = f", {group['moved']:,} moved between the groups and left out" if group["moved"] else ""
        lines.append(
            f"{group['treated']:,} treated customers and {group['holdout']:,} in the holdout since"
            f" {group['since'][:10]}{moved}"
        )
    if not months:
        lines.append(made["words"]["en"])
        if made["programme"]:
            lines.append(_costs(made["programme"]))
    for row in made["months"]:
        lines += [f"{row['month']}{'' if row['complete'] else ' (not over)'}: {row['words']['en']}"]
        if months:
            lines.append(_costs(row))
    if segments:
        lines += [f"{row['feature']} {row['value']}: {row['words']['en']}" for row in made["segments"]]
    for row in made["actions"]:
        sent = f"{row['contacts']:,.0f} contacts for {row['contact_cost']:,.2f}"
        followed = f"{row['conversions']:,.0f} orders of {row['converted_net']:,.2f} followed"
        lines += [f"{row['action']}: {row['words']['en']}", f"  {sent}; {followed}"]
    lines.append(
        f"{made['conversions']['count']:,} orders followed a contact within {made['conversion_days']} days,"
        " or named the decision"
    )
    for count, whose in (("other_customer", "another customer's decision"), ("unknown_decision", "none")):
        if number := made["outcomes_from_events"][count]:
            lines.append(f"{number:,} outcomes of events are not counted: they name {whose}")
    return lines


def _costs(row: dict[str, Any]) -> str:
    """The totals of an effect in a line."""
    contacts = f"{row['contacts']:,} contacts for {row['contact_cost']:,.2f}"
    cost = f"{contacts}, and {row['discounts']:,.2f} of discounts"
    if row["incremental_margin"] is None:
        return f"  {cost}"
    back = row["return_on_cost"]
    margin, orders = row["incremental_margin"], row["incremental_orders"]
    gained = f"  in total {margin:,.2f} net margin and {orders:,.1f} orders more"
    return f"{gained}; {cost}" + ("" if back is None else f"; {back:,.2f} for each 1 spent")
