"""Training of the text classifier: from a table of texts with ratings to a published classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import sklearn

from core.errors import PatronError
from events.files.table import Table
from features.text.classifier import Settings
from features.text.tokens import language
from models.estimator import Array
from models.measures import metrics
from models.registry.bundle import MANIFEST, digest, sealed
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.registry.versions import TRAINED_TAG, ModelVersion, TrainingRun
from models.spec import Gate
from models.text.bundle import NAME, install
from models.text.learning import FEWEST, fit, folds
from training.publishing import check_gates, code_version, publish, versions

GATES = (Gate("auc", "it must tell content customers from others", at_least=0.8),)
HELD_OUT = 5
"""One text in this many is held out."""
_WORST, _BEST = 1, 5


@dataclass(frozen=True)
class Feedback:
    """Texts with labels: 1 if the author is content, else 0."""

    texts: list[str]
    content: Array

    def where(self, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> Feedback:
        """The chosen texts."""
        return Feedback([self.texts[i] for i in np.flatnonzero(chosen)], self.content[chosen])


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier ready to be published.

    Attributes:
        files: the bundle, including its manifest.
        run: measures on held-out texts, and the training's parameters.
        refusals: a message for each failed gate.
    """

    files: Mapping[str, bytes]
    run: TrainingRun
    refusals: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of the manifest, which contains those of all other files."""
        return digest(self.files[MANIFEST])


def of_table(table: Table, text: str, outcome: str, stars: bool) -> Feedback:
    """The texts of a file by its column of ratings, or of labels.

    Args:
        outcome: the column; labels in it are numbers (0 and 1) or words (yes and no).
        stars: whether the column has ratings.

    Raises:
        PatronError: a column is missing, or has other values.
    """
    table.need([text, outcome])
    profile = table.profile(outcome)
    words = not stars and profile.truths == profile.filled - profile.unknown
    if not words and profile.numbers < profile.filled - profile.unknown:
        what = "a rating from 1 to 5" if stars else "a label, 0 or 1, yes or no"
        wrong = profile.filled - profile.unknown - profile.numbers
        raise PatronError(
            f"{table.place}: {wrong:,} of {profile.filled:,} cells of column {outcome} are not {what};"
            " correct or empty them"
        )
    values = table.numbers(outcome, "boolean" if words else "float64")
    frame = pd.DataFrame({text: table.typed({text: "string"})[text].to_pylist(), outcome: values})
    return rated(frame, text, outcome) if stars else labelled(frame, text, outcome)


def rated(table: pd.DataFrame, text: str, rating: str) -> Feedback:
    """Texts by their stars: 4 and 5 are content, 1 and 2 are not; 3 and rows without either are left out.

    Raises:
        PatronError: a column is missing, or ratings are not from 1 to 5.
    """
    stars = _column(table, rating)
    known = stars[stars.notna()]
    if not known.between(_WORST, _BEST).all():
        raise PatronError(
            f"column {rating} holds ratings outside {_WORST} to {_BEST}; bring them to that scale, or"
            " give a column of labels, 0 or 1"
        )
    return _feedback(table, text, (stars >= 4).astype(np.float64), (stars >= 4) | (stars <= 2))


def labelled(table: pd.DataFrame, text: str, label: str) -> Feedback:
    """Texts by a label, 1 if their author is content, else 0; rows without either are left out.

    Raises:
        PatronError: a column is missing, or labels are not numbers.
    """
    labels = _column(table, label)
    return _feedback(table, text, labels, labels.notna())


def train_feedback(registry: Registry, feedback: Feedback, settings: Settings | None = None) -> ModelVersion:
    """Train, measure on held-out texts, and publish; if every gate passes, promote and install for features.

    Raises:
        PatronError: there are too few texts of either kind.
    """
    learnt = learn_feedback(feedback, settings)
    run = replace(learnt.run, tags={**learnt.run.tags, TRAINED_TAG: registry.moment()})
    version = publish(registry, NAME, learnt.files, run, learnt.refusals)
    if version.champion:
        install(registry)
    return version


def learn_feedback(feedback: Feedback, settings: Settings | None = None) -> TrainedClassifier:
    """Fit on four fifths of the texts and measure on the rest, then fit on all.

    Near-duplicate texts are on the same side (see :func:`models.text.learning.folds`).

    Raises:
        PatronError: there are too few texts of either kind.
    """
    settings = settings or Settings()
    in_test = folds(feedback.texts, HELD_OUT) == 0
    exam = feedback.where(in_test)
    if len(np.unique(exam.content)) < 2:
        raise PatronError(
            f"of {len(feedback.texts)} texts {int(feedback.content.sum())} are by content customers, too few"
            " of a kind to hold some out; add texts of both kinds"
        )
    rest = feedback.where(~in_test)
    tested = fit(rest.texts, rest.content, settings).predict(exam.texts).probability
    measures = _measures(exam, tested)
    final = fit(feedback.texts, feedback.content, settings)
    manifest = {
        "model": NAME,
        "question": OTHER_MODELS[NAME],
        "meaning": "calibrated probability that the author is content",
        "kind": "probability",
        "features": [{"name": "text", "dtype": "string"}],
        "texts": len(feedback.texts),
        "measures": measures,
        "versions": versions({"scikit-learn": sklearn.__version__}),
    }
    parameters = {"texts": len(feedback.texts), "terms": len(final.terms)} | vars(settings)
    run = TrainingRun(
        parameters, measures, {"data_digest": _digest(feedback), "code_version": code_version()}
    )
    return TrainedClassifier(sealed(manifest, final.to_files()), run, check_gates(GATES, measures))


def _measures(exam: Feedback, probability: Array) -> dict[str, float]:
    """The measures on held-out texts, also for each language with enough texts of both kinds."""
    measures = {
        "auc": metrics.auc(exam.content, probability),
        "brier": metrics.brier(exam.content, probability),
        "log_loss": metrics.log_loss(exam.content, probability),
        "calibration_slope": metrics.calibration_slope(exam.content, probability),
        "held_out_texts": float(len(exam.texts)),
    }
    languages = np.array([language(text) or "" for text in exam.texts])
    for code in ("en", "zh"):
        chosen = languages == code
        positive = int(exam.content[chosen].sum())
        if min(positive, int(chosen.sum()) - positive) >= FEWEST:
            measures[f"auc_{code}"] = metrics.auc(exam.content[chosen], probability[chosen])
    return measures


def _column(table: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in table:
        raise PatronError(f"there is no column {name}; the table has {', '.join(map(str, table))}")
    try:
        return table[name].astype(np.float64)
    except (TypeError, ValueError):
        raise PatronError(f"column {name} holds what is not a number; ratings and labels are") from None


def _feedback(table: pd.DataFrame, text: str, content: pd.Series[float], chosen: pd.Series[bool]) -> Feedback:
    if text not in table:
        raise PatronError(f"there is no column {text}; the table has {', '.join(map(str, table))}")
    usable = chosen & table[text].notna()
    return Feedback(table.loc[usable, text].astype(str).tolist(), np.asarray(content[usable], np.float64))


def _digest(feedback: Feedback) -> str:
    """SHA-256 of every text and label, in order."""
    rows = zip(feedback.texts, feedback.content.tolist(), strict=True)
    return digest("\n".join(f"{label}\t{text!r}" for text, label in rows).encode())
