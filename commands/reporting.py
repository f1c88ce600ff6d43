"""Reports of trainings (a line per version, the exit code of the gates, advice before) and of products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from commands.access.audit import audited
from commands.common import Exit, open_home, print_result

if TYPE_CHECKING:
    from core.home import Home
    from models.registry.versions import ModelVersion

LATER_TIME = "a later time"


def report_training(
    versions: list[ModelVersion],
    as_json: bool,
    tested_on: str = LATER_TIME,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Print the versions that a training run published, and exit with the code of their gates.

    Args:
        tested_on: the test set, in words.
        left_out: of ``train all``: the models that were not trained, and why, by name. Then optional models
            do not change the exit code, and a model of every shop that was left out is a failed check.
    """
    from models.questions import MODELS

    if versions:
        audit_training(versions)
    relevant = [version for version in versions if left_out is None or version.name in MODELS]
    result: dict[str, Any] = {"versions": [version.as_dict() for version in versions]}
    lines = [version_line(version, tested_on) for version in versions]
    code = exit_code(relevant)
    if left_out is not None:
        result, lines = result | {"left_out": left_out}, [*lines, *left_out.values()]
        code = Exit.CHECK_FAILED if MODELS.keys() & left_out.keys() else code
    print_result(as_json, result, "\n".join(lines), code)


def audit_training(versions: list[ModelVersion]) -> None:
    """Add an entry to the audit log for the versions that a training run published."""
    audited(open_home(), "trained a model", ", ".join(f"{v.name} {v.version}" for v in versions))


def exit_code(versions: Iterable[ModelVersion]) -> Exit:
    """``CHECK_FAILED`` if one of these versions was not promoted, else ``DONE``."""
    return Exit.CHECK_FAILED if any(v.failed_gates or v.not_promoted_because for v in versions) else Exit.DONE


def version_line(version: ModelVersion, tested_on: str = LATER_TIME) -> str:
    """A version in one line: its ranking metric, and whether it is the champion or why not."""
    from models.registry.versions import SAMPLE_SHARE

    share = version.metrics.get(SAMPLE_SHARE)
    sample = f", by a sample of {share:.1%} of the customers" if share else ""
    head = f"{version.name} version {version.version}: {ranking_metric(version)} on {tested_on}{sample}"
    if version.failed_gates:
        return f"{head}; not promoted: {'; '.join(version.failed_gates)}"
    if version.not_promoted_because:
        return f"{head}; passed its gates, not promoted: {version.not_promoted_because}"
    return f"{head}; {'champion' if version.champion else 'passed its gates'}"


def ranking_metric(version: ModelVersion) -> str:
    """The metric that ranks the versions of this kind of model, as measured in the test."""
    from training.evaluation.evaluate import RANKING

    names = [*(name for name, _ in RANKING.values()), "ndcg_10"]  # the last one ranks product models
    name = next((name for name in names if name in version.metrics), None)
    return f"{name} {version.metrics[name]:.3f}" if name else "not measured"


def churn_advice(home: Home) -> Any:
    """The advice on the horizon of churn, from the days of the customers' visits."""
    from events import lake
    from training.reports.advise import advise, visits

    shop, events = home.shop(), lake.read(home, lake.backend_of(home))
    return advise(visits(events.known_at(shop.now())).to_pandas(), shop.today())


def product_rows(done: dict[str, Any]) -> str:
    """What became of the rows of a catalogue of products."""
    head = f"imported {done['products']:,} products of {done['rows']:,} rows"
    lines = [f"{head}; {done['out_of_stock']:,} are out of stock"]
    lines += [f"  {field}: column {name}" for field, name in done["columns"].items()]
    left_out = {"without an id": done["without_id"], "with the id of a later row": done["repeated"]}
    lines += [f"  {count:,} rows {which} are left out" for which, count in left_out.items() if count]
    lines += [f"  {count:,} cells of {name} cannot be used" for name, count in done["unreadable"].items()]
    return "\n".join([*lines, *(f"  {note}" for note in done["notes"])])
