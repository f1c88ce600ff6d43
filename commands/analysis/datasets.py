"""Commands that write data for other tools: the training rows of a model, the features of all customers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result, progress_bar
from commands.models import OneModel

if TYPE_CHECKING:
    import pandas as pd

    from core.home import Home

app = typer.Typer()
Out = Annotated[Path, typer.Option(help="The output file: .parquet, .ndjson, .csv or .xlsx.", metavar="FILE")]


@app.command()
def dataset(
    model: OneModel,
    out: Out,
    horizon: Annotated[
        int | None, typer.Option(max=36_500, help="The horizon in days; default: that of the model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the training rows of a model: customers at moments with features, labels and split."""
    from features.workspace import Workspace
    from models.questions import find
    from serving.files import tables, writing
    from training.customers.horizon import with_horizon
    from training.customers.training_rows import training_rows

    chosen, home = with_horizon(find(model), horizon), open_home()
    writing.check_place(out, tables.KINDS)
    with progress_bar(as_json) as progress:
        workspace = Workspace.build(home, progress)
        progress(f"{model}: dataset", 0.5)
        rows = training_rows(workspace, chosen)
        _write(home, rows.frame, out)
    audited(home, "exported features", model)
    frame = rows.frame
    done = {
        "file": str(out),
        "model": model,
        "horizon_days": rows.model.horizon_days,
        "rows": len(frame),
        "share": rows.share,
        "customers": int(frame["customer_id"].nunique()),
        "moments": [moment.isoformat() for moment in sorted(frame["as_of"].unique())],
        "split": {str(name): int(count) for name, count in frame["split"].value_counts().items()},
        "features": list(rows.features),
    }
    parts = ", ".join(f"{name} {count:,}" for name, count in frame["split"].value_counts().items())
    head = f"wrote {len(frame):,} rows of {done['customers']:,} customers into {out}"
    about = (
        f"{model}, {done['horizon_days']} days ahead, {len(rows.features)} features; rows by split: {parts}"
    )
    if rows.share < 1:
        about += f"\n  of a sample of {rows.share:.1%} of the customers, as training uses it"
    print_result(as_json, done, f"{head}\n  {about}")


@app.command()
def snapshot(
    out: Out,
    as_of: Annotated[
        str | None,
        typer.Option(help="A date or time in the shop's zone; default: the shop's present.", metavar="TIME"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the features of all customers, as they were known at a moment."""
    from core.calendar import parse_moment
    from features.offline.everyone import snapshot_of_everyone
    from serving.files import tables, writing

    home = open_home()
    shop = home.shop()
    writing.check_place(out, tables.KINDS)
    with progress_bar(as_json) as progress:
        progress("features of all customers", 0.1)
        frame = snapshot_of_everyone(home, parse_moment(as_of, shop.time_zone) if as_of else None)
        _write(home, frame, out)
    audited(home, "exported features", "of all customers")
    moment = frame["as_of"].iloc[0]
    done = {
        "file": str(out),
        "as_of": moment.isoformat(),
        "customers": len(frame),
        "features": list(frame.columns[2:]),
    }
    text = f"wrote {len(done['features'])} features of {len(frame):,} customers into {out}"
    print_result(as_json, done, f"{text}, as of {moment:%Y-%m-%d %H:%M} UTC")


def _write(home: Home, frame: pd.DataFrame, out: Path) -> None:
    """Write a frame with features into a file, in one step."""
    from features.frames import arrow_table
    from features.groups import features_of
    from serving.files import tables

    table = arrow_table(frame, features_of(home))
    tables.write(iter([table]), out, home.shop().time_zone)
