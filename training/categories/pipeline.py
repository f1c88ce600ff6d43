"""train_categories(home): propensity per category tested by time, gated, and published."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.calendar import date_of, day_of
from core.home import Home
from core.progress import Progress, silent
from events.queries.merchandise import merchandise
from features.offline import populations
from models.categories.history import UNITS, Asked, history
from models.categories.model import HORIZON_DAYS, LINE_WEIGHT, MEANING, NAME, ROUNDS, SETTINGS, score
from models.categories.published import to_files
from models.registry.bundle import digest
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from training.categories.exam import (
    CategoryExam,
    CategoryQuestion,
    baskets,
    evaluated,
    examine,
    known_outcomes,
    learn,
)
from training.evaluation.card import CardFacts, card
from training.evaluation.plots import plots
from training.publishing import provenance, publish, run_tags


def train_categories(home: Home, registry: Registry, progress: Progress = silent) -> ModelVersion:
    """Learn of which categories customers order soon, test by time, publish; promote if every gate opens.

    The version published is fitted on all outcomes known now; its measures are those of the same recipe
    fitted on what was known at the test's moment.

    Raises:
        PatronError: there is no shop, or categories, history or outcomes do not suffice.
    """
    goods, question = merchandise(home), CategoryQuestion()
    progress(f"{NAME}: orders", 0.05)
    held, now = baskets(goods.order_lines), Asked(goods.as_of, day_of(goods.as_of, goods.time_zone))
    origins = [Asked(moment, day_of(moment, goods.time_zone)) for moment in populations.origins(home)]
    progress(f"{NAME}: fits and evaluation", 0.2)
    exam = examine(held, origins, now)
    evaluation = evaluated(exam.frame)
    refusals = evaluation.refusals(question)
    progress(f"{NAME}: final fit", 0.6)
    labelled = known_outcomes(origins, now)
    final, known = learn(held, labelled), history(held, now)
    progress(f"{NAME}: publishing", 0.9)
    told = {
        "question": question.question,
        "meaning": MEANING.format(days=HORIZON_DAYS),
        "kind": question.kind,
        "horizon_days": HORIZON_DAYS,
        "as_of": now.as_of.isoformat(),
    } | provenance(score(final, known.rows()))
    run = TrainingRun(
        parameters=_parameters(exam, len(labelled)),
        metrics=evaluation.metrics,
        tags=run_tags(_digest(held), registry.moment()),
        figures=plots(evaluation, "probability"),
        documents=evaluation.documents(),
        texts={"card.md": card(question, _told(exam, len(labelled), _digest(held)), evaluation, refusals)},
    )
    version = publish(registry, NAME, to_files(final, known, told), run, refusals)
    progress(f"{NAME}: done", 1.0)
    return version


def _parameters(exam: CategoryExam, labelled: int) -> dict[str, object]:
    return {
        "horizon_days": HORIZON_DAYS,
        "test_origin": f"{date_of(exam.test.day):%Y-%m-%d}",
        "fit_origins": len(exam.learnt),
        "final_origins": labelled,
        "categories": exam.frame["category"].nunique(),
        "rounds": ROUNDS,
        "line_weight": LINE_WEIGHT,
    } | dict(SETTINGS)


def _told(exam: CategoryExam, labelled: int, data: str) -> CardFacts:
    """What the card says beside the measures."""
    first, last = date_of(exam.learnt[0].day), date_of(exam.learnt[-1].day)
    return CardFacts(
        meaning=MEANING.format(days=HORIZON_DAYS),
        asked_of=["every customer who has ordered, with every category that anybody ordered of"],
        data=[
            f"tested on {date_of(exam.test.day)}, learnt for it from {len(exam.learnt)} months,"
            f" {first} to {last}",
            f"published: learnt from {labelled} months",
            f"digest of the orders: `{data}`",
        ],
        shown_on="a later time",
        reads=dict(UNITS),
        limits=[
            f"One later moment was tested, with {exam.frame['customer_key'].nunique():,} customers; another"
            " season may differ.",
            "A customer or a category that is new since it was trained counts when it is trained again.",
            "It says what customers like these did, not what an action would change.",
        ],
    )


def _digest(held: pd.DataFrame) -> str:
    """SHA-256 of what was ordered, when, and when that was known."""
    hashed = pd.util.hash_pandas_object(held, index=False).to_numpy(np.uint64)
    return digest(hashed.tobytes())
