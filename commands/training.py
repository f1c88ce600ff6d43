"""The command that learns: from the shop's history, or from a company's own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import AsJson, open_home, print_result, progress_bar
from commands.models import OneModel, model_names
from commands.reporting import exit_code, report_training, version_line
from core.errors import PatronError

if TYPE_CHECKING:
    from core.home import Home
    from core.progress import Progress
    from models.registry.registry import Registry
    from models.registry.versions import ModelVersion

app = typer.Typer()


@app.command()
def train(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model's name, or all that the shop can ask; feedback, with --table of texts; none with"
            " --table of customers.",
            metavar="MODEL",
        ),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(max=36_500, help="Days to look ahead, in place of the model's own.")
    ] = None,
    advise: Annotated[
        bool, typer.Option(help="Only for churn: say which window is sensible, and train nothing.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Learn from this CSV or Parquet file: a row per customer, or per text.", metavar="FILE"
        ),
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
    text: Annotated[
        str | None, typer.Option(help="For feedback: its column of texts.", metavar="COLUMN")
    ] = None,
    rating: Annotated[
        str | None, typer.Option(help="For feedback: its column of stars, 1 to 5.", metavar="COLUMN")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="For feedback: its column of labels, 1 where content, else 0.", metavar="COLUMN"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, test by time, publish to MLflow, and promote what has shown that it may answer."""
    of_customers = bool(target or time or name or drop)
    if model == "feedback":
        from commands.feedback import train_feedback

        if of_customers or horizon is not None or advise:
            raise typer.BadParameter(
                "feedback takes --table, --text and --rating or --label, and nothing else"
            )
        train_feedback(table, text, rating, label, as_json)
        return
    if text or rating or label:
        raise typer.BadParameter("--text, --rating and --label are for `patron train feedback --table FILE`")
    if table is not None:
        from commands.tables import train_table

        if model is not None or horizon is not None or advise:
            raise typer.BadParameter("--table takes no MODEL, no --horizon and no --advise")
        if target is None:
            raise typer.BadParameter("say --target, the column of the table that holds the outcome")
        train_table(table, target, time, name, drop or [], as_json)
        return
    if of_customers:
        raise typer.BadParameter("--target, --time, --name and --drop are for --table FILE")
    if model in ("products", "category_propensity"):
        if horizon is not None or advise:
            raise typer.BadParameter(f"{model} takes no --horizon and no --advise")
        train_of_orders(model, as_json)
        return
    if model is None:
        raise typer.BadParameter("say which MODEL, or all, or --table FILE")
    home = open_home()
    if advise:
        if model != "churn" or horizon is not None:
            raise typer.BadParameter("--advise is for churn alone, and takes no --horizon")
        advice = _advice(home)
        print_result(as_json, advice.as_dict(), advice.table())
        return
    with progress_bar(as_json) as progress:
        names = model_names(model)
        trained, left_out = train_models(home, names, horizon, progress, others=model == "all")
    report_training(trained, as_json, left_out=left_out if model == "all" else None)


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
    from features.workspace import Workspace
    from models.questions import find
    from models.registry.registry import Registry
    from training.customers.tuning import tune

    chosen, home = find(model), open_home()
    with progress_bar(as_json) as progress:
        tuned = tune(Workspace.build(home, progress), chosen, Registry(home), trials, timeout, progress)
    own = f"{tuned.measure} {tuned.usual:.3f} before, {tuned.best:.3f} with the best"
    lines = [
        f"{tuned.trials} trials ({tuned.pruned} given up early), on inner splits: {own}",
        "  " + ", ".join(f"{name} {value:.4g}" for name, value in tuned.settings.items()),
        version_line(tuned.version),
    ]
    result = vars(tuned) | {"version": tuned.version.as_dict()}
    print_result(as_json, result, "\n".join(lines), exit_code([tuned.version]))


def train_of_orders(name: str, as_json: bool) -> None:
    """Train a model that learns from orders alone, and say what came of it."""
    from models.registry.registry import Registry

    home = open_home()
    home.shop()  # before anything is made where there is no shop
    with progress_bar(as_json) as progress:
        version = _of_orders()[name](home, Registry(home), progress)
    report_training([version], as_json, "the next baskets" if name == "products" else "a later time")


def _of_orders() -> Mapping[str, Callable[[Home, Registry, Progress], ModelVersion]]:
    """How models that learn from orders alone, without the feature store, are trained; by name."""
    from training.categories.pipeline import train_categories
    from training.products.pipeline import train_products

    return {"products": train_products, "category_propensity": train_categories}


def train_models(
    home: Home, names: list[str], horizon: int | None, progress: Progress, *, others: bool
) -> tuple[list[Any], dict[str, str]]:
    """Build the features anew, and train these models on them.

    Args:
        others: also those optional ones, and those of orders, for which the shop has what they take.

    Returns:
        The versions, and by name why one of the others was left out.
    """
    from features.workspace import Workspace
    from models.questions import OPTIONAL, find
    from models.registry.registry import Registry
    from training.customers.fitting import asked_with
    from training.customers.pipeline import train

    models = [asked_with(find(name), horizon) for name in names]
    workspace = Workspace.build(home, progress)
    registry = Registry(home)
    trained = [train(workspace, model, registry, progress) for model in models]
    if not others:
        return trained, {}

    def optional(name: str) -> ModelVersion:
        return train(workspace, asked_with(OPTIONAL[name], horizon), registry, progress)

    learners: dict[str, Callable[[], ModelVersion]] = {name: partial(optional, name) for name in OPTIONAL}
    learners |= {name: partial(learn, home, registry, progress) for name, learn in _of_orders().items()}
    left_out = {}
    for name, learn in learners.items():
        try:
            trained.append(learn())
        except PatronError as refusal:
            left_out[name] = str(refusal)
    return trained, left_out


def _advice(home: Home) -> Any:
    from events import lake
    from training.reports.advise import advise, visits

    shop = home.shop()
    events = lake.read(home, lake.connect()).known_at(shop.now())
    return advise(visits(events).to_pandas(), shop.today())
