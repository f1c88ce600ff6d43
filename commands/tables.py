"""Models of a company's own table: ``patron train --table`` and ``patron score --table``."""

from __future__ import annotations

from pathlib import Path

from commands.common import open_home, print_result, progress_bar
from commands.reporting import exit_code, version_line


def train_table(
    table: str, target: str, time: str | None, name: str | None, drop: list[str], as_json: bool
) -> None:
    """Train a model on a table, and print its report."""
    from events.files.readers.database import described
    from events.files.table import open_table
    from models.registry.registry import Registry
    from training.tables.facts import AT_RANDOM, LATER
    from training.tables.labelled import label
    from training.tables.pipeline import train_table

    home = open_home()
    with progress_bar(as_json) as progress:
        progress(f"reading {described(table)}", 0.0)
        data = label(open_table(table), target, time, drop)  # fails before the home is changed
        trained = train_table(home, Registry(home), data, name, progress)
    version = trained.version
    left_out = {"notes": trained.notes, "left_out": trained.left_out}
    lines = [version_line(version, LATER if time else AT_RANDOM)]
    lines += [f"  {note}" for note in trained.notes]
    lines += [f"  left out: {column} {why}" for column, why in trained.left_out.items()]
    result = {"versions": [version.as_dict()], **left_out}
    print_result(as_json, result, "\n".join(lines), exit_code([version]))


def score_table(table: str, model: str, out: Path, as_json: bool) -> None:
    """Score the rows of a table into a file."""
    from models.registry.registry import Registry
    from serving.files.score_table import score_table

    with progress_bar(as_json) as progress:
        done = score_table(Registry(open_home()), table, model, out, progress)
    lines = [f"scored {done['customers']:,} customers by {model} version {done['version']} into {out}"]
    print_result(as_json, done, "\n".join([*lines, *(f"  {note}" for note in done["notes"])]))
