"""Trains propensity per category: tests it by time, fits it on all known outcomes, and publishes it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.calendar import date_of, day_of
from core.home import Home
from core.progress import Progress, silent
from events.queries.merchandise import merchandise
from features.offline import populations
from models.categories.history import UNITS, AsOf, history
from models.categories.model import HORIZON_DAYS, LINE_WEIGHT, MEANING, NAME, ROUNDS, SETTINGS, score
from models.categories.published import to_files
from models.registry.bundle import digest
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from training.categories.backtest import (
    CategoryBacktest,
    CategoryQuestion,
    backtest,
    evaluation_of,
    known_outcomes,
    learn,
    read_baskets,
)
from training.evaluation.card import CardFacts, card
from training.evaluation.plots import plots
from training.publishing import provenance, publish, run_tags


def train_categories(home: Home, registry: Registry, progress: Progress = silent) -> ModelVersion:
    """Train propensity per category, test it by time, publish it, and promote it if it passes its gates.

    The published version is fitted on all outcomes known now. Its measures are those of the same recipe,
    fitted on the outcomes known at the moment of the test.

    Raises:
        PatronError: there is no shop, or there are too few categories, outcomes or months of history.
    """
    goods, question = merchandise(home), CategoryQuestion()
    progress(f"{NAME}: orders", 0.05)
    baskets, now = read_baskets(goods.order_lines), AsOf(goods.as_of, day_of(goods.as_of, goods.time_zone))
    origins = [AsOf(moment, day_of(moment, goods.time_zone)) for moment in populations.origins(home)]
    progress(f"{NAME}: fits and evaluation", 0.2)
    tested = backtest(baskets, origins, now)
    evaluation = evaluation_of(tested.frame)
    refusals = evaluation.failed_gates(question)
    progress(f"{NAME}: final fit", 0.6)
    labelled = known_outcomes(origins, now)
    final, known = learn(baskets, labelled), history(baskets, now)
    progress(f"{NAME}: publishing", 0.9)
    about_version = {
        "question": question.question,
        "meaning": MEANING.format(days=HORIZON_DAYS),
        "kind": question.kind,
        "horizon_days": HORIZON_DAYS,
        "as_of": now.as_of.isoformat(),
    } | provenance(score(final, known.rows()))
    run = TrainingRun(
        parameters=_parameters(tested, len(labelled)),
        metrics=evaluation.metrics,
        tags=run_tags(_digest(baskets), registry.moment()),
        figures=plots(evaluation, "probability"),
        documents=evaluation.documents(),
        texts={
            "card.md": card(
                question, _card_facts(tested, len(labelled), _digest(baskets)), evaluation, refusals
            )
        },
    )
    version = publish(registry, NAME, to_files(final, known, about_version), run, refusals)
    progress(f"{NAME}: done", 1.0)
    return version


def _parameters(tested: CategoryBacktest, labelled: int) -> dict[str, object]:
    return {
        "horizon_days": HORIZON_DAYS,
        "test_origin": f"{date_of(tested.test.day):%Y-%m-%d}",
        "fit_origins": len(tested.learnt),
        "final_origins": labelled,
        "categories": tested.frame["category"].nunique(),
        "rounds": ROUNDS,
        "line_weight": LINE_WEIGHT,
    } | dict(SETTINGS)


def _card_facts(tested: CategoryBacktest, labelled: int, data: str) -> CardFacts:
    """The texts of the card, apart from the measures."""
    first, last = date_of(tested.learnt[0].day), date_of(tested.learnt[-1].day)
    return CardFacts(
        meaning=MEANING.format(days=HORIZON_DAYS),
        customers=["every customer who has ordered, with every category that anybody has ordered from"],
        data=[
            f"tested on {date_of(tested.test.day)}, after training on {len(tested.learnt)} months,"
            f" {first} to {last}",
            f"published: trained on {labelled} months",
            f"digest of the orders: `{data}`",
        ],
        test_data="a later time",
        reads=dict(UNITS),
        limits=[
            f"One later moment was tested, with {tested.frame['customer_key'].nunique():,} customers; another"
            " season may differ.",
            "New customers and categories are included when the model is trained again.",
            "It says what customers like these did, not what an action would change.",
        ],
    )


def _digest(baskets: pd.DataFrame) -> str:
    """SHA-256 of the baskets, with the moments at which they were known."""
    hashed = pd.util.hash_pandas_object(baskets, index=False).to_numpy(np.uint64)
    return digest(hashed.tobytes())
