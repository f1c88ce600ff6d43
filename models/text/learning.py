"""Training a classifier of texts: terms, their scales, logistic regression, calibration."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.errors import PatronError
from features.text.classifier import Settings, TextClassifier, counts, unit_rows
from features.text.tokens import ngrams, normalised, tokens
from models.measures.metrics import Array, logistic_line, logit

FOLDS = 3
FEWEST = 10
"""The minimum number of texts with either label."""


@dataclass(frozen=True)
class FittedLine:
    """Weights of some columns of a matrix of counts."""

    columns: NDArray[np.int64]
    scales: Array
    weights: Array
    intercept: float

    def raw(self, term_counts: sparse.csr_array) -> Array:
        """Log-odds of each row of counts, uncalibrated."""
        values = unit_rows(sparse.csr_array(term_counts[:, self.columns]), self.scales)
        result: Array = values @ self.weights + self.intercept
        return result


def fit(
    texts: Sequence[Any], labels: Sequence[Any] | Array, settings: Settings | None = None
) -> TextClassifier:
    """Train a classifier of label 1 against label 0; deterministic.

    Every text is also scored by weights trained without it (and its near-duplicates), and the line that
    calibrates those scores (Platt, 1999) is merged into weights and intercept. If the scores do not rank
    texts at all, weights are 0, and every text gets the share of label 1.

    Raises:
        PatronError: labels are not 0 and 1, or too few texts have one of them.
    """
    settings = settings or Settings()
    outcome = _checked(texts, labels)
    terms = frequent_terms(texts, settings)
    if not terms:
        raise PatronError("no word is in more than one text, so there is nothing to learn from; add texts")
    term_counts = counts(texts, {term: i for i, term in enumerate(terms)}, settings)
    slope, intercept = _calibration(term_counts, outcome, folds(texts, FOLDS), settings)
    line = learn(term_counts, outcome, settings)
    return TextClassifier(
        settings,
        tuple(terms[i] for i in line.columns),
        line.scales.astype(np.float32),
        (slope * line.weights).astype(np.float32),
        slope * line.intercept + intercept,
    )


def folds(texts: Sequence[Any], count: int, salt: str = "") -> NDArray[np.int64]:
    """The fold (0 to count − 1) that each text falls into, by a digest of its letters and digits.

    Texts that differ only in case, spaces and punctuation are in the same fold.
    """

    def fold(text: Any) -> int:
        letters = "".join(character for character in normalised(text) if character.isalnum())
        return int(hashlib.sha256(f"{salt}{letters}".encode()).hexdigest()[:12], 16) % count

    return np.array([fold(text) for text in texts], np.int64)


def frequent_terms(texts: Sequence[Any], settings: Settings) -> list[str]:
    """The n-grams that occur in at least ``min_documents`` texts, sorted."""
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update(set(ngrams(tokens(text), settings.words, settings.characters)))
    return sorted(term for term, number in documents.items() if number >= settings.min_documents)


def scales_of(term_counts: sparse.csr_array, outcome: Array, settings: Settings) -> Array:
    """The scale of each term: ``idf × (1 + contrast × |log ratio|)``.

    The log ratio is that of the shares of texts of either label with the term (Wang and Manning,
    2012, "Baselines and Bigrams", section 2.1), here as a weight of tf-idf. Smoothing adds pseudo-texts with
    the overall shares of labels, so that a rare term has little contrast.
    """
    total, positive = len(outcome), float(outcome.sum())
    having = np.bincount(term_counts.indices, minlength=term_counts.shape[1]).astype(np.float64)
    rows = np.repeat(outcome, np.diff(term_counts.indptr))
    with_label = np.bincount(term_counts.indices, weights=rows, minlength=term_counts.shape[1])
    share, smoothing = positive / total, settings.smoothing
    ratio = (with_label + smoothing * share) / positive
    ratio = ratio / ((having - with_label + smoothing * (1 - share)) / (total - positive))
    idf = np.log((1 + total) / (1 + having)) + 1
    result: Array = idf * (1 + settings.contrast * np.abs(np.log(ratio)))
    return result


def learn(term_counts: sparse.csr_array, outcome: Array, settings: Settings) -> FittedLine:
    """Fit weights of all terms, and refit those that matter most."""
    scales = scales_of(term_counts, outcome, settings)
    everything = np.arange(term_counts.shape[1])
    line = _regression(term_counts, everything, scales, outcome, settings)
    if len(everything) <= settings.most_terms:
        return line
    having = np.bincount(term_counts.indices, minlength=term_counts.shape[1])
    matter = np.abs(line.weights) * scales * np.sqrt(having)
    columns_used = np.sort(np.argsort(-matter, kind="stable")[: settings.most_terms])
    return _regression(
        sparse.csr_array(term_counts[:, columns_used]), columns_used, scales[columns_used], outcome, settings
    )


def _regression(
    term_counts: sparse.csr_array,
    columns: NDArray[np.int64],
    scales: Array,
    outcome: Array,
    settings: Settings,
) -> FittedLine:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=settings.C, solver="liblinear", dual=True, tol=1e-3, max_iter=1000, random_state=0
    )
    model.fit(unit_rows(term_counts, scales), outcome)
    return FittedLine(columns, scales, model.coef_[0], float(model.intercept_[0]))


def _calibration(
    term_counts: sparse.csr_array, outcome: Array, fold: NDArray[np.int64], settings: Settings
) -> tuple[float, float]:
    """Slope and intercept that calibrate scores of held-out texts.

    Labels are smoothed as by Platt (1999, section 2.2): an additional text per label keeps the slope finite
    if the scores make no error.
    """
    raw = np.zeros(len(outcome))
    scored = np.zeros(len(outcome), bool)
    for i in range(FOLDS):
        rest, out = fold != i, fold == i
        if not out.any() or len(np.unique(outcome[rest])) < 2:
            continue
        line = learn(sparse.csr_array(term_counts[rest]), outcome[rest], settings)
        raw[out] = line.raw(sparse.csr_array(term_counts[out]))
        scored |= out
    slope, intercept = 0.0, 0.0
    if len(np.unique(outcome[scored])) == 2:
        known = outcome[scored]
        target = np.where(known > 0, 1 - 1 / (known.sum() + 2), 1 / ((1 - known).sum() + 2))
        slope, intercept = logistic_line(target, raw[scored])
    if slope <= 0:  # nothing generalises to other texts: only the share is known
        return 0.0, float(logit(np.array([outcome.mean()]))[0])
    return slope, intercept


def _checked(texts: Sequence[Any], labels: Sequence[Any] | Array) -> Array:
    if len(texts) != len(labels):
        raise PatronError(f"there are {len(texts)} texts and {len(labels)} labels; give one label per text")
    try:
        outcome = np.array(labels, np.float64)
    except (TypeError, ValueError):
        outcome = np.full(len(labels), np.nan)
    if not np.isin(outcome, (0, 1)).all():
        raise PatronError("labels are 0 or 1, and some are neither; leave those texts out")
    positive = int(outcome.sum())
    if min(positive, len(outcome) - positive) < FEWEST:
        raise PatronError(
            f"{positive} texts have label 1 and {len(outcome) - positive} have label 0, and it takes"
            f" {FEWEST} of each; add texts of the other kind"
        )
    return outcome
