"""The command that learns: from the shop's history, or from a company's own table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import AsJson, Exit, open_home, progress_bar, say
from commands.models import OneModel, model_names
from features.errors import PatronError

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
        names = model_names(model)
        trained, left_out = train_models(home, names, horizon, progress, others=model == "all")
    refused = [v for v in trained if v.refusals]
    done = {"versions": [vars(v) for v in trained], "left_out": left_out}
    lines = [*(version_line(v) for v in trained), *left_out.values()]
    say(as_json, done, "\n".join(lines), Exit.SAID_NO if refused else Exit.DONE)


@app.command()
def tune(
    model: OneModel,
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 40,
    timeout: Annotated[
        int | None, typer.Option(min=1, help="Seconds after which no trial begins.", metavar="SECONDS")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search for better trees on inner splits by time; train, test and publish with the best."""
    from models.catalogue import find
    from models.registry import Registry
    from training.tuning import tune

    chosen, home = find(model), open_home()
    with progress_bar(as_json) as progress:
        built, store = _built(home, progress)
        tuned = tune(home, chosen, built, store, Registry(home), trials, timeout, progress)
    own = f"{tuned.measure} {tuned.usual:.3f} before, {tuned.best:.3f} with the best"
    lines = [
        f"{tuned.trials} trials ({tuned.pruned} given up early), on inner splits: {own}",
        "  " + ", ".join(f"{name} {value:.4g}" for name, value in tuned.settings.items()),
        version_line(tuned.version),
    ]
    code = Exit.SAID_NO if tuned.version.refusals else Exit.DONE
    say(as_json, vars(tuned) | {"version": vars(tuned.version)}, "\n".join(lines), code)


def train_models(
    home: Home, names: list[str], horizon: int | None, progress: Progress, *, others: bool
) -> tuple[list[Any], dict[str, str]]:
    """Build the features anew, and train these models on them.

    Args:
        others: also those optional ones for which the shop has what they take.

    Returns:
        The versions, and by name why an optional one was left out.
    """
    from models.catalogue import OPTIONAL, find
    from models.registry import Registry
    from training.pipeline import asked_with, train

    models = [asked_with(find(name), horizon) for name in names]
    built, store = _built(home, progress)
    registry = Registry(home)
    trained = [train(home, model, built, store, registry, progress) for model in models]
    left_out = {}
    for name, model in OPTIONAL.items() if others else ():
        try:
            trained.append(train(home, asked_with(model, horizon), built, store, registry, progress))
        except PatronError as refusal:
            left_out[name] = str(refusal)
    return trained, left_out


def _built(home: Home, progress: Progress) -> tuple[Any, Any]:
    """The features, built anew with every month's, and the store that holds them."""
    from features import builds
    from features.store import Store

    home.shop()
    return builds.build(home, True, progress), Store(home)


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
