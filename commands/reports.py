"""The command that tells what a model's test showed about the customers."""

from __future__ import annotations

import typer

from commands.common import AsJson, open_home, print_result, progress_bar
from commands.models import OneModel

app = typer.Typer()


@app.command()
def report(model: OneModel, as_json: AsJson = False) -> None:
    """What the test showed: common traits, leads by source, early warning of churn, and how a fit ages."""
    from features.catalogue.store import Store
    from features.offline import build as builds
    from models.questions import find
    from training.reports.reports import report

    chosen, home = find(model), open_home()
    home.shop()
    with progress_bar(as_json) as progress:
        built = builds.build(home, True, progress)
        progress(f"{chosen.name}: a look back", 0.5)
        told = report(home, chosen, built, Store(home))
    print_result(as_json, told.as_dict(), told.text())
