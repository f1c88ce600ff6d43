"""Notes about a table's model, and the lines of its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.tables.columns import UNITS
from training.evaluation.card import CardFacts
from training.evaluation.evaluate import RANKING
from training.tables.examination import Examination, TableModel
from training.tables.holdouts import Holdout
from training.tables.labelled import Labelled
from training.tables.single_columns import NEARLY_DECIDES

LATER, AT_RANDOM = "a later time", "customers drawn at random"
DRAWN = (
    "no --time was given, so those held out were drawn at random: the measures hold for customers like"
    " these, and are usually better than what a later time will show"
)


def notes_of(data: Labelled, exam: Examination, gains: Mapping[str, float]) -> tuple[str, ...]:
    """Notes about the model, the most serious first.

    Args:
        gains: by column the reduction of the trees' loss; empty for a user's estimator.
    """
    measure, _ = RANKING[data.kind]
    notes = [] if data.moments is not None else [DRAWN]
    for leak in exam.leaks:
        reach = "together reach" if len(leak.columns) > 1 else "alone reaches"
        notes.append(
            f"{leak.names} {reach} {measure} {leak.measure:.3f}: it may be a leak, recorded after"
            f" {data.target} was known"
        )
    total = sum(gains.values())
    if not exam.leaks and total:
        most = max(gains, key=lambda name: gains[name])
        notes.append(
            f"most was learnt from {most} ({gains[most] / total:.0%} of the trees' gain): see that it is"
            f" known before {data.target} is, or leave it out with --drop {most}"
        )
    if not exam.leaks and exam.evaluation.metrics[measure] >= NEARLY_DECIDES:
        notes.append(
            f"{measure} {exam.evaluation.metrics[measure]:.3f} is too good for most questions: check that no"
            f" column was recorded after {data.target}"
        )
    notes += [
        f"{words} have the outcome {data.target}: see that it is known before"
        for words in exam.telling_values
    ]
    if idle := [name for name, gain in gains.items() if not gain]:
        notes.append(f"columns without gain, which the trees do not use: {', '.join(idle)}")
    return (*notes, *data.notes)


def card_facts(
    model: TableModel, data: Labelled, holdout: Holdout, notes: Sequence[str], digest: str
) -> CardFacts:
    """The texts of the card, apart from the measures."""
    how = "the last fifth by time" if data.moments is not None else "a fifth, drawn at random"
    left_out = data.understood.left_out
    return CardFacts(
        meaning=model.meaning,
        customers=["customers in a table with the columns below"],
        data=[
            f"{data.table.name}: {len(data.y):,} customers with a known `{data.target}`",
            f"tested on {how}, {len(holdout.test):,} customers, after training on {len(holdout.fit):,}",
            f"published: trained on all {len(data.y):,}",
            *(f"left out: `{name}` {why}" for name, why in left_out.items()),
            f"digest of the rows: `{digest}`",
        ],
        test_data=test_data_of(data),
        reads={name: f"{UNITS[dtype]} in the table" for name, dtype in data.understood.types.items()},
        limits=[*notes, "It says what customers like these did, not what an action would change."],
    )


def test_data_of(data: Labelled) -> str:
    """The test data of the measures."""
    return LATER if data.moments is not None else AT_RANDOM
