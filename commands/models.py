"""Commands for models: list and compare versions, report on them, and choose the champion."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, Exit, open_home, open_registry, print_result, progress_bar
from commands.reporting import ranking_metric

app = typer.Typer()
Model = Annotated[str, typer.Argument(help="A model's name, or all.", metavar="MODEL")]
OneModel = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]
Why = Annotated[str, typer.Option(help="The reason, for the record.")]


@app.command()
def models(model: Model = "all", as_json: AsJson = False) -> None:
    """List versions: training date, metric, failed gates, and who promoted them and why."""
    from models.registry import challenges

    registry, listed, lines = open_registry(), {}, []
    for name in _names(registry, model):
        versions, moves = registry.versions(name), registry.promotions(name)
        challenge = challenges.last(registry, name)
        if challenge and any(v.champion and v.version == challenge.version for v in versions):
            challenge = None  # it became the champion
        listed[name] = {
            "versions": [v.as_dict() for v in versions],
            "moves": [vars(m) for m in moves],
            "challenge": challenge and vars(challenge),
        }
        lines += [_listed(v) for v in versions] or [f"{name} was never trained; run `patron train {name}`"]
        lines += [f"      {m.words}" for m in moves]
        lines += [f"      {challenge.words}"] if challenge else []
    print_result(as_json, {"models": listed}, "\n".join(lines))


@app.command()
def compare(
    model: OneModel,
    version: Annotated[str | None, typer.Option(help="Default: the newest.", metavar="VERSION")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Default: the champion, or the version before it, or the baselines.", metavar="VERSION"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a version with another and with the baselines, on the same customers with known outcomes."""
    from features.workspace import Workspace
    from models.questions import find
    from training.customers import comparison
    from training.evaluation.compare import table

    chosen, home, registry = find(model), open_home(), open_registry()
    comparison.choose(registry, model, version, against)  # fails before anything is built
    with progress_bar(as_json) as progress:
        workspace = Workspace.build(home, progress)
        progress("scores and their differences", 0.5)
        done = comparison.compare_versions(workspace, registry, chosen, version, against)
    head = f"{done.model} version {done.version}, {done.horizon_days} days ahead. {done.note}"
    moves = [m for m in registry.promotions(model) if {m.after, m.before} & {done.version, done.against}]
    text = [head, "", table(done.result), *(["", *(m.words for m in moves)] if moves else [])]
    print_result(as_json, done.as_dict() | {"moves": [vars(m) for m in moves]}, "\n".join(text))


@app.command()
def report(model: OneModel, as_json: AsJson = False) -> None:
    """Report what a test at the champion's horizon showed: shared traits, leads by source, early warning of
    churn, ageing of a fit.
    """
    from features.workspace import Workspace
    from models.questions import find
    from training.customers.horizon import as_published
    from training.reports.reports import report

    chosen, home = find(model), open_home()
    with progress_bar(as_json) as progress:
        workspace = Workspace.build(home, progress)
        progress(f"{chosen.name}: a backtest", 0.5)
        result = report(workspace, as_published(open_registry(), chosen))
    print_result(as_json, result.as_dict(), result.text())


@app.command()
def promote(
    model: OneModel,
    version: Annotated[str, typer.Argument(help="The version to promote.", metavar="VERSION")],
    why: Why,
    force: Annotated[bool, typer.Option(help="Also if gates failed; this is recorded.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, and record who did it and why."""
    from models.registry import promotion
    from models.text.bundle import promotion_hook

    registry = open_registry()
    name = _known(registry, model)
    try:
        move = promotion.promote(registry, name, version, why, force, promotion_hook(name))
    except promotion.GatesFailed as refused:
        print_result(as_json, {"promoted": None, "refused": str(refused)}, str(refused), Exit.CHECK_FAILED)
        return
    audited(registry.home, "promoted a version", f"{name} {move.after}")
    print_result(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def rollback(model: OneModel, why: Why, as_json: AsJson = False) -> None:
    """Make the previously promoted version the champion again, and record it."""
    from models.registry import promotion
    from models.text.bundle import promotion_hook

    registry = open_registry()
    name = _known(registry, model)
    move = promotion.rollback(registry, name, why, promotion_hook(name))
    audited(registry.home, "rolled back a model", f"{name} to {move.after}")
    print_result(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def challenge(
    model: OneModel,
    version: Annotated[
        str | None, typer.Argument(help="The version that challenges the champion.", metavar="VERSION")
    ] = None,
    share: Annotated[
        float, typer.Option(help="The share of customers who get its scores, up to 0.5; 0: shadow only.")
    ] = 0.0,
    bound: Annotated[
        float | None,
        typer.Option(
            help="The mean difference from the champion that ends the challenge: of probabilities (0.2);"
            " of money, of the totals, as a share (0.5)."
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the running challenge.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a second version next to the champion, in shadow or for a share of the customers; or end it."""
    from models.questions import find
    from models.registry import challenges, promotion

    chosen, registry = find(model), open_registry()
    if end == (version is not None):
        raise typer.BadParameter("pass the VERSION that challenges, or --end")
    if version is None:
        over = challenges.end(registry, chosen.name, None, f"ended by {promotion.user()}")
        if over:
            audited(registry.home, "ended a challenge", chosen.name)
        words = over.words if over else f"nothing challenges {chosen.name}"
        print_result(as_json, {"challenge": over and vars(over)}, words)
        return
    begun = challenges.begin(registry, chosen.name, chosen.kind, version, share, bound)
    audited(registry.home, "began a challenge", f"{chosen.name} {version}")
    print_result(
        as_json, {"challenge": vars(begun)}, f"{chosen.name}: {begun.words}; running services follow"
    )


def model_names(name: str) -> list[str]:
    """The model of that name; for ``all``, the models that every shop can train."""
    from models.questions import MODELS, find

    return list(MODELS) if name == "all" else [find(name).name]


def _names(registry: Any, name: str) -> list[str]:
    """The models to list; ``all`` includes the optional models that were trained."""
    from models.questions import OPTIONAL
    from models.registry.other_models import OTHER_MODELS

    tables = registry.table_models()
    if name in (*tables, *OTHER_MODELS):
        return [name]
    others = (*OPTIONAL, *OTHER_MODELS) if name == "all" else ()
    optional = [other for other in others if registry.versions(other)]
    return [*model_names(name), *optional, *(tables if name == "all" else ())]


def _known(registry: Any, name: str) -> str:
    """The name of a model, if it comes with Patron or was trained on a table."""
    from models.questions import find
    from models.registry.other_models import OTHER_MODELS

    return name if name in (*OTHER_MODELS, *registry.table_models()) else find(name).name


def _listed(version: Any) -> str:
    """A version in one line: number, training date, metric, gates."""
    metric = ranking_metric(version)
    gates = f"gates failed: {'; '.join(version.failed_gates)}" if version.failed_gates else "passed its gates"
    if version.not_promoted_because:
        gates += f", not promoted: {version.not_promoted_because}"
    mark = "*" if version.champion else " "
    head = f"{mark} {version.name:<20}{version.version:>3}  {version.trained[:10]:<10}  {metric:<13}"
    return f"{head} {'champion, ' if version.champion else ''}{gates}"


def _moved(name: str, move: Any) -> str:
    from models.text.bundle import NAME as FEEDBACK

    since = f" in place of version {move.before}" if move.before else ""
    against = ", against its gates" if move.forced else ""
    of_texts = name == FEEDBACK
    return (
        f"{name} version {move.after} is the champion{since}{against}; recorded for {move.who}."
        f" Running services use it within a second{', features of texts with the next build' * of_texts}."
    )
