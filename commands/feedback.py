"""The command for texts of customers: sentiment, topics, and the words that decided."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.common import AsJson, open_home, open_registry, print_result, progress_bar
from commands.reporting import report_training

app = typer.Typer()


@app.command()
def feedback(
    words: Annotated[str | None, typer.Argument(help="A text; not with --table.", metavar="TEXT")] = None,
    table: Annotated[
        str | None,
        typer.Option(help="Classify every row of this file, or database's URL#TABLE.", metavar="FILE"),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The column of texts in the table.", metavar="COLUMN")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The output file: .parquet, .ndjson, .csv or .xlsx.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Classify a text, or each text of a file: sentiment, topics, and the words that decided."""
    if table is None:
        if words is None or text is not None or out is not None:
            raise typer.BadParameter("pass a TEXT, or --table FILE --text COLUMN --out FILE")
        _judge_one(words, as_json)
        return
    if words is not None or text is None or out is None:
        raise typer.BadParameter("--table takes --text COLUMN and --out FILE, and no TEXT")
    _judge_table(table, text, out, as_json)


def train_feedback(
    table: str | None, text: str | None, rating: str | None, label: str | None, as_json: bool
) -> None:
    """Train the classifier of texts on a file, and print its report."""
    outcome = rating or label
    if table is None or text is None or outcome is None or (rating and label):
        raise typer.BadParameter(
            "feedback takes --table FILE --text COLUMN, and --rating COLUMN (1 to 5 stars) or --label COLUMN"
            " (1 or yes if the author is content, else 0 or no)"
        )
    from events.files.readers.database import described
    from events.files.table import open_table
    from models.registry.registry import Registry
    from training.texts.pipeline import of_table, train_feedback

    home = open_home()
    with progress_bar(as_json) as progress:
        progress(f"reading {described(table)}", 0.0)
        # The table is checked before the home is changed.
        texts = of_table(open_table(table), text, outcome, stars=rating is not None)
        progress("training on texts", 0.2)
        version = train_feedback(Registry(home), texts)
    report_training([version], as_json, "texts held out")


def _judge_one(words: str, as_json: bool) -> None:
    from models.text.judgement import judge
    from serving.files.feedback import open_champion

    version, classifier = open_champion(open_registry())
    (judged,) = judge(classifier, [words])
    done: dict[str, Any] = asdict(judged) | {"version": version}
    print_result(as_json, done, "\n".join(_lines(done)))


def _lines(done: dict[str, Any]) -> list[str]:
    """The classification of a text in lines."""
    head = f"content with probability {done['probability']:.2f}, confidence {done['confidence']:.2f}"
    lines = [f"{head} (version {done['version']})"]
    for name, reasons in (("for", done["in_favour"]), ("against", done["against"])):
        terms = ", ".join(f"{reason['ngram']} ({reason['contribution']:+.2f})" for reason in reasons)
        lines.append(f"  {name}: {terms or 'nothing'}")
    for topic in done["topics"]:
        words = ", ".join(topic["words"])
        lines.append(f"  {topic['topic']}: content with probability {topic['probability']:.2f} ({words})")
    return lines


def _judge_table(table: str, text: str, out: Path, as_json: bool) -> None:
    from serving.files.feedback import judge_table

    with progress_bar(as_json) as progress:
        done = judge_table(open_registry(), table, text, out, progress)
    lines = [
        f"judged {done['texts']:,} texts of {done['rows']:,} rows by version {done['version']} into {out}"
    ]
    if done["content"] is not None:
        lines.append(f"  on average content with probability {done['content']:.2f}")
    lines += [
        f"  {name:<14} {topic['texts']:>8,} texts, content with probability {topic['content']:.2f}"
        for name, topic in done["topics"].items()
    ]
    print_result(as_json, done, "\n".join([*lines, *(f"  {note}" for note in done["notes"])]))
