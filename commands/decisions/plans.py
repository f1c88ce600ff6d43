"""The command that plans under budgets, and releases a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.access.audit import audited
from commands.answers import Language, Segment
from commands.common import AsJson, open_home, print_result, progress_bar

app = typer.Typer()


@app.command()
def plan(
    budget: Annotated[
        float | None,
        typer.Option(help="Money for all actions, in addition to the budgets in actions.toml.", min=0),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Who gets what: .parquet, .ndjson, .csv or .xlsx; of a release, its decisions.",
            metavar="FILE",
        ),
    ] = None,
    segment: Segment = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    language: Annotated[Language, typer.Option(help="The language of texts.")] = Language.en,
    release: Annotated[
        str | None,
        typer.Option(
            help="Release this plan: decide as it says, and reserve the contacts and the money.",
            metavar="ID",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--for", help="The CRM that imports the .csv or .xlsx of a release.", metavar="CRM"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan everybody's action under the budgets of actions.toml, as a preview; or release a plan."""
    from records.job import segment_of
    from serving.decisions.to_file import DecisionFile
    from serving.plans.to_file import plan_everyone, release_plan

    if release is not None:
        if budget is not None or segment or channel:
            raise typer.BadParameter("a plan keeps its budget, segment and channels; leave them out")
        file = None if out is None else DecisionFile(out=out, target=target)
        with progress_bar(as_json) as progress:
            done, lines = release_plan(open_home(), release, file, progress)
        audited(open_home(), "released a plan", release)
    else:
        if target is not None:
            raise typer.BadParameter("--for is for the file of a release")
        with progress_bar(as_json) as progress:
            done, lines = plan_everyone(
                open_home(), out, budget, segment_of(segment), channel, language.value, progress
            )
        audited(open_home(), "made a plan", done["plan_id"])
        lines.append(f"  to release it: patron plan --release {done['plan_id']}")
    if out is not None:
        lines.append(f"wrote who gets what into {out}")
    print_result(as_json, done, "\n".join(lines))
