"""Commands that train models: on the shop's history, on a company's own table, or on texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import AsJson, open_home, print_result, progress_bar
from commands.models import OneModel
from commands.reporting import audit_training, churn_advice, exit_code, report_training, version_line
from commands.tables.training import train_table

if TYPE_CHECKING:
    from core.home import Home
    from core.progress import Progress
    from models.registry.versions import ModelVersion

app = typer.Typer()


@app.command()
def train(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model's name, or all; feedback, with a --table of texts; none, with a --table of rows.",
            metavar="MODEL",
        ),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(max=36_500, help="The horizon in days; default: that of the model.")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help="An estimator of your own, such as 'sklearn.svm.SVC(C=2)' or models.py:make_model.",
            metavar="PATH",
        ),
    ] = None,
    advise: Annotated[
        bool, typer.Option(help="Only for churn: advise on the horizon; trains nothing.")
    ] = False,
    table: Annotated[
        str | None,
        typer.Option(
            help="Train on this file, or database's URL#TABLE: a row per customer, or per text.",
            metavar="FILE",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="The column of outcomes: 0 and 1, yes and no, or money.", metavar="COLUMN"),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The column of times; the last fifth is the test set.", metavar="COLUMN"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the model; default: that of the file.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A column to ignore; may be repeated.", metavar="COLUMN")
    ] = None,
    confirm: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that is known before the outcome, so is no leak; may be repeated.",
            metavar="COLUMN",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="For feedback: the column of texts.", metavar="COLUMN")
    ] = None,
    rating: Annotated[
        str | None, typer.Option(help="For feedback: the column of stars, 1 to 5.", metavar="COLUMN")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="For feedback: the column of labels: 1 if content, else 0.", metavar="COLUMN"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, test on a later time, publish to MLflow, and promote what passes its gates."""
    of_table = bool(target or time or name or drop or confirm)
    of_customers = horizon is not None or advise
    if model == "feedback":
        from commands.feedback import train_feedback

        if of_table or of_customers or estimator is not None:
            raise typer.BadParameter(
                "feedback takes --table, --text and --rating or --label, and nothing else"
            )
        train_feedback(table, text, rating, label, as_json)
        return
    if text or rating or label:
        raise typer.BadParameter("--text, --rating and --label are for `patron train feedback --table FILE`")
    if table is not None:
        if model is not None or of_customers:
            raise typer.BadParameter("--table takes no MODEL, no --horizon and no --advise")
        if target is None:
            raise typer.BadParameter("pass --target, the column of outcomes in the table")
        train_table(table, target, time, name, drop or [], confirm or [], estimator, as_json)
        return
    if of_table:
        raise typer.BadParameter("--target, --time, --name, --drop and --confirm are for --table FILE")
    if model in ("products", "category_propensity"):
        if of_customers or estimator is not None:
            raise typer.BadParameter(f"{model} takes no --horizon, no --advise and no --estimator")
        train_of_orders(model, as_json)
        return
    if model is None:
        raise typer.BadParameter("pass a MODEL, or all, or --table FILE")
    if estimator is not None and (model == "all" or advise):
        raise typer.BadParameter("--estimator takes one MODEL, and no --advise")
    home = open_home()
    if advise:
        if model != "churn" or horizon is not None:
            raise typer.BadParameter("--advise is only for churn, and takes no --horizon")
        advice = churn_advice(home)
        print_result(as_json, advice.as_dict(), advice.table())
        return
    left_out = None
    with progress_bar(as_json) as progress:
        if model == "all":
            from training.every_model import train_all

            trained, left_out = train_all(home, horizon, progress)
        else:
            trained = [train_customer_model(home, model, horizon, progress, estimator)]
    report_training(trained, as_json, left_out=left_out)


@app.command()
def tune(
    model: OneModel,
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="The maximum number of trials.")] = 40,
    timeout: Annotated[
        int | None,
        typer.Option(min=1, help="Seconds after which no further trial starts.", metavar="SECONDS"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search for better settings on inner splits by time, at the champion's horizon; train with the best."""
    from features.workspace import Workspace
    from models.questions import find
    from models.registry.registry import Registry
    from training.customers.horizon import as_published
    from training.customers.tuning import tune

    chosen, home = find(model), open_home()
    with progress_bar(as_json) as progress:
        workspace, registry = Workspace.build(home, progress), Registry(home)
        tuned = tune(workspace, as_published(registry, chosen), registry, trials, timeout, progress)
    audit_training([tuned.version])
    own = f"{tuned.measure} {tuned.usual:.3f} before, {tuned.best:.3f} with the best"
    lines = [
        f"{tuned.trials} trials ({tuned.pruned} given up early), on inner splits: {own}",
        "  " + ", ".join(f"{name} {value:.4g}" for name, value in tuned.settings.items()),
        version_line(tuned.version),
    ]
    result = vars(tuned) | {"version": tuned.version.as_dict()}
    print_result(as_json, result, "\n".join(lines), exit_code([tuned.version]))


def train_of_orders(name: str, as_json: bool) -> None:
    """Train a model that uses orders only, and print its report."""
    from models.registry.registry import Registry
    from training.every_model import OF_ORDERS

    home = open_home()
    home.shop()  # fails before anything is created where there is no shop
    with progress_bar(as_json) as progress:
        version = OF_ORDERS[name](home, Registry(home), progress)
    report_training([version], as_json, "the next baskets" if name == "products" else "a later time")


def train_customer_model(
    home: Home, name: str, horizon: int | None, progress: Progress, estimator: str | None = None
) -> ModelVersion:
    """Rebuild the features, and train a model of customers.

    Args:
        estimator: the user's own, by its path; None for Patron's.

    Raises:
        PatronError: there is no such model, or the shop's data do not suffice.
    """
    from features.workspace import Workspace
    from models.questions import find
    from models.registry.registry import Registry
    from training.customers.horizon import with_horizon
    from training.customers.own_estimator import with_own_estimator
    from training.customers.pipeline import train

    model = with_horizon(find(name), horizon)
    if estimator is not None:
        model = with_own_estimator(model, estimator)
    return train(Workspace.build(home, progress), model, Registry(home), progress)
