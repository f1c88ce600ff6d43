"""Training on a company's own table, and the report of it."""

from __future__ import annotations

from collections.abc import Sequence

from commands.common import open_home, print_result, progress_bar
from commands.reporting import audit_training, exit_code, version_line


def train_table(
    table: str,
    target: str,
    time: str | None,
    name: str | None,
    drop: Sequence[str],
    confirm: Sequence[str],
    estimator: str | None,
    as_json: bool,
) -> None:
    """Train a model on a table, and print its report."""
    from events.files.readers.database import described
    from events.files.table import open_table
    from models.registry.registry import Registry
    from training.tables import facts, pipeline
    from training.tables.labelled import label

    with progress_bar(as_json) as progress:
        home = open_home()
        progress(f"reading {described(table)}", 0.0)
        data = label(open_table(table), target, time, drop, confirm)  # fails before the home is changed
        trained = pipeline.train_table(home, Registry(home), data, name, progress, estimator)
    version = trained.version
    audit_training([version])
    lines = [version_line(version, facts.LATER if time else facts.AT_RANDOM)]
    left_out = (f"left out: {column} {why}" for column, why in trained.left_out.items())
    lines += [f"  {note}" for note in (*trained.notes, *left_out)]
    done = {"versions": [version.as_dict()], "notes": trained.notes, "left_out": trained.left_out}
    print_result(as_json, done, "\n".join(lines), exit_code([version]))
