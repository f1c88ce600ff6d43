"""Commands for models: list, compare, and choose which version answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import AsJson, Exit, open_home, open_registry, print_result, progress_bar
from commands.reporting import ranking_metric

if TYPE_CHECKING:
    from models.registry.promotion import Hook

app = typer.Typer()
Model = Annotated[str, typer.Argument(help="A model's name, or all.", metavar="MODEL")]
OneModel = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]
Why = Annotated[str, typer.Option(help="Why, for those who come after.")]


@app.command()
def models(model: Model = "all", as_json: AsJson = False) -> None:
    """List versions: when learnt, how good, which gates stayed shut, and who promoted what and why."""
    from models.registry import challenges

    registry, listed, lines = open_registry(), {}, []
    for name in _names(registry, model):
        versions, moves = registry.versions(name), registry.promotions(name)
        challenge = challenges.last(registry, name)
        if challenge and any(v.champion and v.version == challenge.version for v in versions):
            challenge = None  # it won
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
        typer.Option(help="Default: the champion, or what it replaced, or baselines.", metavar="VERSION"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a version against another and the baselines, on the same customers of known outcome."""
    from features.workspace import Workspace
    from models.questions import find
    from training.customers import comparison as contest
    from training.evaluation.compare import table

    chosen, home, registry = find(model), open_home(), open_registry()
    contest.choose(registry, model, version, against)  # says what is wrong before anything is built
    with progress_bar(as_json) as progress:
        workspace = Workspace.build(home, progress)
        progress("scores and their differences", 0.5)
        done = contest.contest(workspace, registry, chosen, version, against)
    head = f"{done.model} version {done.version}, {done.horizon_days} days ahead. {done.note}"
    moves = [m for m in registry.promotions(model) if {m.after, m.before} & {done.version, done.against}]
    text = [head, "", table(done.found), *(["", *(m.words for m in moves)] if moves else [])]
    print_result(as_json, done.as_dict() | {"moves": [vars(m) for m in moves]}, "\n".join(text))


@app.command()
def report(model: OneModel, as_json: AsJson = False) -> None:
    """What the test showed: common traits, leads by source, early warning of churn, and how a fit ages."""
    from features.workspace import Workspace
    from models.questions import find
    from training.reports.reports import report

    chosen = find(model)
    with progress_bar(as_json) as progress:
        workspace = Workspace.build(open_home(), progress)
        progress(f"{chosen.name}: a look back", 0.5)
        told = report(workspace, chosen)
    print_result(as_json, told.as_dict(), told.text())


@app.command()
def promote(
    model: OneModel,
    version: Annotated[str, typer.Argument(help="The version that shall answer.", metavar="VERSION")],
    why: Why,
    force: Annotated[bool, typer.Option(help="Also where gates stayed shut; this is recorded.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a version answer from now on, and record who did it and why."""
    from models.registry import promotion

    registry = open_registry()
    name = _known(registry, model)
    try:
        move = promotion.promote(registry, name, version, why, force, _hook(name))
    except promotion.GatesFailed as refused:
        print_result(as_json, {"promoted": None, "refused": str(refused)}, str(refused), Exit.CHECK_FAILED)
        return
    print_result(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def rollback(model: OneModel, why: Why, as_json: AsJson = False) -> None:
    """Let the version answer again that was promoted before the champion, and record it."""
    from models.registry import promotion

    registry = open_registry()
    name = _known(registry, model)
    move = promotion.rollback(registry, name, why, _hook(name))
    print_result(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def challenge(
    model: OneModel,
    version: Annotated[
        str | None, typer.Argument(help="The version that shall challenge the champion.", metavar="VERSION")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Of the customers whom it answers, up to 0.5; at 0 it is only watched.")
    ] = 0.0,
    bound: Annotated[
        float | None,
        typer.Option(
            help="How far it may be off the champion before it is ended: on average, in probability (0.2);"
            " of money, the total, as a share (0.5)."
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the challenge that goes on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a version be scored beside the champion, unseen or for a share of the customers; or end that."""
    from models.questions import find
    from models.registry import challenges, promotion

    chosen, registry = find(model), open_registry()
    if end == (version is not None):
        raise typer.BadParameter("say which version shall challenge, or --end")
    if version is None:
        over = challenges.end(registry, chosen.name, None, f"ended by {promotion.user()}")
        words = over.words if over else f"nothing challenges {chosen.name}"
        print_result(as_json, {"challenge": over and vars(over)}, words)
        return
    begun = challenges.begin(registry, chosen.name, chosen.kind, version, share, bound)
    print_result(
        as_json, {"challenge": vars(begun)}, f"{chosen.name}: {begun.words}; running services follow"
    )


def model_names(name: str) -> list[str]:
    """The model of that name, or those of every shop's models where it is ``all``."""
    from models.questions import MODELS, find

    return list(MODELS) if name == "all" else [find(name).name]


def _names(registry: Any, asked: str) -> list[str]:
    """The models to list; of all, those that not every shop has only where they were trained."""
    from models.questions import OPTIONAL
    from models.registry.other_models import OTHER_MODELS

    tables = registry.table_models()
    if asked in (*tables, *OTHER_MODELS):
        return [asked]
    others = (*OPTIONAL, *OTHER_MODELS) if asked == "all" else ()
    beside = [name for name in others if registry.versions(name)]
    return [*model_names(asked), *beside, *(tables if asked == "all" else ())]


def _known(registry: Any, name: str) -> str:
    """The name of a model that comes with Patron, or of one that was trained on a table."""
    from models.questions import find
    from models.registry.other_models import OTHER_MODELS

    return name if name in (*OTHER_MODELS, *registry.table_models()) else find(name).name


def _hook(name: str) -> Hook | None:
    """What follows a promotion: the champion of ``feedback`` also reads the texts for features."""
    from models.text import bundle

    return bundle.install if name == bundle.NAME else None


def _listed(version: Any) -> str:
    """A model version in a row: which, when, how good, and its gates."""
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
        f"{name} version {move.after} answers from now on{since}{against}; recorded for {move.who}."
        f" Running services follow within a second{', features of texts with the next build' * of_texts}."
    )
