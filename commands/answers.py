"""Commands that score all customers, and that decide and plan the next best actions for all."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_note, print_result, progress_bar, spark_cluster
from commands.models import model_names

app = typer.Typer()
Segment = Annotated[
    list[str] | None,
    typer.Option(
        help="Only customers with this value of a text feature, as FEATURE:VALUE. May be repeated: all"
        " values apply.",
        metavar="SEGMENT",
    ),
]


class ScoringEngine(StrEnum):
    """What computes the scores of a job."""

    LOCAL = "local"
    SPARK = "spark"


class Language(StrEnum):
    """The language of texts and reasons."""

    en = "en"
    zh = "zh"


@app.command()
def score(
    out: Annotated[Path, typer.Option(help="The output file: .parquet, .ndjson, .csv or .xlsx.")],
    model: Annotated[str, typer.Option(help="A model's name, or all.")] = "all",
    segment: Segment = None,
    job: Annotated[
        str | None,
        typer.Option(help="Resume this job, or write its file again.", metavar="ID"),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            help="Score with this version of --model, champion or not, into the file only.", metavar="VERSION"
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Score the rows of this file, or URL#TABLE, with a model that was trained on a table.",
            metavar="FILE",
        ),
    ] = None,
    engine: Annotated[
        ScoringEngine, typer.Option(help="What scores: this process, or Spark at PATRON_SPARK_MASTER.")
    ] = ScoringEngine.LOCAL,
    as_json: AsJson = False,
) -> None:
    """Score all customers, or a segment, into a file and the log; resumes an interrupted job."""
    if engine is ScoringEngine.SPARK and (version is not None or table is not None):
        raise typer.BadParameter("--engine spark takes no --version and no --table")
    if version is not None:
        if model == "all" or segment or job is not None:
            raise typer.BadParameter("--version takes --model NAME, no --segment and no --job")
        if table is None:
            _score_version(model, version, out, as_json)
            return
    if table is not None:
        if model == "all" or segment or job is not None:
            raise typer.BadParameter("--table takes --model NAME, no --segment and no --job")
        _score_table(table, model, version, out, as_json)
        return
    from records.job import segment_of
    from serving.score_jobs.to_file import score_everyone

    if job is not None and (model != "all" or segment):
        raise typer.BadParameter("a job keeps its models and its segment; leave out --model and --segment")
    cluster = spark_cluster() if engine is ScoringEngine.SPARK else None
    with progress_bar(as_json) as progress:
        done = score_everyone(
            open_home(), out, model_names(model), progress,
            segment=segment_of(segment), job_id=job, cluster=cluster,
        )  # fmt: skip
    audited(open_home(), "exported scores", done["job_id"])
    lines = [f"scored {done['customers']:,} customers into {out} (job {done['job_id']})"]
    if done["already_scored"]:
        lines.append(f"{done['already_scored']:,} of them had been scored before the interruption")
    lines += [f"no {name} scores: {why}" for name, why in done["absent"].items()]
    print_result(as_json, done, "\n".join(lines))


@app.command()
def recommend(
    out: Annotated[
        Path | None, typer.Option(help="The output file: .xlsx, .csv, .ndjson or .parquet.")
    ] = None,
    segment: Segment = None,
    rule: Annotated[
        str | None,
        typer.Option(help="Only customers who match this rule, as in docs/rules.md.", metavar="RULE"),
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    language: Annotated[Language, typer.Option(help="The language of texts and reasons.")] = Language.en,
    target: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="The CRM that imports the .csv or .xlsx: zoho, fxiaoke, hubspot, salesforce, klaviyo, braze,"
            " dynamics or wecom; or a layout of --layout.",
            metavar="CRM",
        ),
    ] = None,
    layout: Annotated[
        Path | None,
        typer.Option(help="Your own layouts: a TOML file like serving/files/exports.toml.", metavar="FILE"),
    ] = None,
    only_actions: Annotated[
        bool,
        typer.Option("--only-actions", help="Leave out of the file for whom nothing is to be done."),
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only look: nothing is logged, and no contact is reserved.")
    ] = False,
    release: Annotated[
        bool,
        typer.Option("--release", help="The file is going to be sent: its actions count as contacts."),
    ] = False,
    undo_release: Annotated[
        str | None,
        typer.Option(help="Take the release of this run back: its file was not sent.", metavar="RUN"),
    ] = None,
    draft: Annotated[bool, typer.Option(help="Print an example of actions.toml; decides nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide the next best action for all customers, or a segment, into a file and the log."""
    if draft:
        print(example_actions(), end="")
        return
    if undo_release is not None:
        _undo_release(undo_release, as_json)
        return
    if out is None:
        raise typer.BadParameter("pass --out FILE, or --draft for an example of actions.toml")
    from records.job import segment_of

    if preview and release:
        raise typer.BadParameter("a preview sends nothing; leave out --preview or --release")
    from serving.decisions.preview import preview_everyone
    from serving.decisions.to_file import RecommendRequest, recommend_everyone

    request = RecommendRequest(
        out=out, segment=segment_of(segment), rule=rule, channels=channel, language=language.value,
        target=target, own_layouts=layout, only_actions=only_actions,
    )  # fmt: skip
    decide = preview_everyone if preview else partial(recommend_everyone, release=release)
    with progress_bar(as_json) as progress:
        done = decide(open_home(), request, progress)
    audited(open_home(), "exported recommendations", done.get("run_id") or "")
    if not as_json:
        _print_warnings(language.value)
    lines = [f"decided for {done['customers']:,} customers into {', '.join(done['files'])}"]
    lines += [f"  {count:>9,}  {action}" for action, count in done["actions"].items()]
    lines += [f"{done['released']:,} actions count as contacts from now on"] if release else []
    print_result(as_json, done, "\n".join(lines))


def _undo_release(run_id: str, as_json: bool) -> None:
    """Take the release of a run back."""
    from core.errors import NothingThere
    from records import runs
    from records.decisions import DecisionLog

    home = open_home()
    home.shop()
    with DecisionLog(home) as log:
        if runs.RunStore(log).find(run_id) is None:
            raise NothingThere(
                f"there is no run {run_id}; `patron recommend --out FILE --json` prints its run_id"
            )
        undone = runs.undo_release(log, run_id)
    audited(home, "undid a release", run_id)
    done = {"run_id": run_id, "contacts": undone}
    print_result(as_json, done, f"{undone:,} actions of run {run_id} no longer count as contacts")


def _print_warnings(language: str) -> None:
    """Print what looks like a mistake in the actions, to stderr."""
    from decisions.catalogue.listing import listing

    for warning in listing(open_home())["warnings"]:
        print_note(f"warning: {warning[language]}")


def example_actions() -> str:
    """An example of actions.toml."""
    from decisions.catalogue.actions import EXAMPLE

    return EXAMPLE.read_text(encoding="utf-8")


def _score_table(table: str, model: str, version: str | None, out: Path, as_json: bool) -> None:
    """Score the rows of a table into a file, by the champion or a version."""
    from models.registry.registry import Registry
    from serving.files.score_table import score_table

    with progress_bar(as_json) as progress:
        done = score_table(Registry(open_home()), table, model, out, progress, version)
    lines = [f"scored {done['customers']:,} customers by {model} version {done['version']} into {out}"]
    print_result(as_json, done, "\n".join([*lines, *(f"  {note}" for note in done["notes"])]))


def _score_version(model: str, version: str, out: Path, as_json: bool) -> None:
    """Score all customers by one version into a file."""
    from models.questions import find
    from serving.files.score_version import score_version

    home, name = open_home(), find(model).name
    with progress_bar(as_json) as progress:
        done = score_version(home, name, version, out, progress)
    audited(home, "exported scores", f"{name} {version}")
    text = f"scored {done['customers']:,} customers by {name} version {version} into {out}; not in the log"
    print_result(as_json, done, text)
