"""The command that learns: from the shop's history, or from a company's own table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import AsJson, Exit, open_home, progress_bar, say
from commands.models import model_names

if TYPE_CHECKING:
    from features.home import Home
    from features.progress import Progress

app = typer.Typer()


@app.command()
def train(
    model: Annotated[
        str | None, typer.Argument(help="A model's name, or all; none with --table.", metavar="MODEL")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(max=36_500, help="Days to look ahead, in place of the model's own.")
    ] = None,
    advise: Annotated[
        bool, typer.Option(help="Only for churn: say which window is sensible, and train nothing.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="Learn from this CSV or Parquet file, a row per customer.", metavar="FILE"),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Its outcome: 0 and 1, yes and no, or money.", metavar="COLUMN")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Its column of time; the last fifth is held out.", metavar="COLUMN")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; by default the file's.")] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A column to leave alone; may be repeated.", metavar="COLUMN")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, test by time, publish to MLflow, and promote what passes its gates."""
    if table is not None:
        from commands.tables import train_table

        if model is not None or horizon is not None or advise:
            raise typer.BadParameter("--table takes no MODEL, no --horizon and no --advise")
        if target is None:
            raise typer.BadParameter("say --target, the column of the table that holds the outcome")
        train_table(table, target, time, name, drop or [], as_json)
        return
    if target or time or name or drop:
        raise typer.BadParameter("--target, --time, --name and --drop are for --table FILE")
    if model is None:
        raise typer.BadParameter("say which MODEL, or all, or --table FILE")
    home = open_home()
    if advise:
        if model != "churn" or horizon is not None:
            raise typer.BadParameter("--advise is for churn alone, and takes no --horizon")
        advice = _advice(home)
        say(as_json, advice.as_dict(), advice.table())
        return
    with progress_bar(as_json) as progress:
        trained = train_models(home, model_names(model), horizon, progress)
    refused = [v for v in trained if v.refusals]
    done = {"versions": [vars(v) for v in trained]}
    say(as_json, done, "\n".join(version_line(v) for v in trained), Exit.SAID_NO if refused else Exit.DONE)


def train_models(home: Home, names: list[str], horizon: int | None, progress: Progress) -> list[Any]:
    """Build the features anew, and train these models on them; returns their versions."""
    from features import builds
    from features.store import Store
    from models.catalogue import find
    from models.registry import Registry
    from training.pipeline import asked_with, train

    models = [asked_with(find(name), horizon) for name in names]
    home.shop()
    built = builds.build(home, True, progress)
    store, registry = Store(home), Registry(home)
    return [train(home, model, built, store, registry, progress) for model in models]


def _advice(home: Home) -> Any:
    from features import lake
    from training.advise import advise, visits

    shop = home.shop()
    events = lake.read(home, lake.connect()).known_at(shop.now())
    return advise(visits(events).to_pandas(), shop.today())


def version_line(version: Any, shown_on: str = "a later time") -> str:
    """A model version in a line of words."""
    from training.evaluate import RANKING

    measure = next(name for name, _ in RANKING.values() if name in version.metrics)
    head = f"{version.name} version {version.version}: {measure} {version.metrics[measure]:.3f} on {shown_on}"
    if version.refusals:
        return f"{head}; not promoted: {'; '.join(version.refusals)}"
    return f"{head}; {'champion' if version.champion else 'passed its gates'}"
