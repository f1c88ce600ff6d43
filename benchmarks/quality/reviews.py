"""Sentiment of shop reviews, on held-out texts; and the choice of the settings.

A fifth of the texts is held out by a digest of their content. Texts that differ only in case, spaces and
punctuation are on the same side. The peer is scikit-learn's TF-IDF with logistic regression, on words and
pairs of words (Chinese: characters and pairs), fitted on the same texts in the same run.

``python -m benchmarks.quality.reviews`` repeats the choice of ``Settings``' defaults: the mean AUC of every
candidate over both kinds of reviews, fitted on two thirds of the training texts and measured on the last
third, with each third in turn. Held-out texts are not used.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.harness.report import Result
from benchmarks.quality import DATA
from features.text import topics
from features.text.classifier import Settings, counts
from models.measures.metrics import Array, auc, brier, calibration_slope, paired_bootstrap
from models.text.learning import fit, folds, frequent_terms, learn
from training.texts.pipeline import Feedback, labelled, rated

ENGLISH_FILE = "womens-reviews/womens_clothing_reviews.csv"
CHINESE_FILE = "chinese-reviews/online_shopping_10_cats.zip"
FOLDS, INNER_FOLDS = 5, 3
START = Settings(words=3, characters=4, min_documents=2, contrast=1, smoothing=5, C=10, most_terms=10**9)
"""The starting point of the choice: settings are changed one after the other, and a change stays if
it helps.
"""
CANDIDATES: dict[str, tuple[Any, ...]] = {
    "contrast": (0, 2),
    "smoothing": (2, 10),
    "C": (5, 20),
    "words": (2,),
    "characters": (3, 5),
    "min_documents": (3,),
    "most_terms": (50_000, 100_000, 200_000),
}

Numbers = tuple[sparse.csr_array, Array, sparse.csr_array, Array]
"""Training counts and labels, and those to measure on."""


def english(file: Path, titles: bool = False) -> Feedback:
    """Reviews of women's clothing, 4 or 5 stars against 1 or 2; with or without their titles."""
    table = pd.read_csv(file)
    titled = table["Title"].fillna("") + ". " + table["Review Text"]
    return rated(table.assign(titled=titled), "titled" if titles else "Review Text", "Rating")


def chinese(file: Path) -> Feedback:
    """Labelled reviews of ten kinds of products and services."""
    with zipfile.ZipFile(file) as archive:
        table = pd.read_csv(io.BytesIO(archive.read("online_shopping_10_cats.csv")))
    return labelled(table, "review", "label")


def held_out(reviews: Feedback) -> NDArray[np.bool_]:
    """Whether each text is in the held-out fifth."""
    return np.equal(folds(reviews.texts, FOLDS), 0)


def peer(learnt: Feedback, test: Feedback, analyzer: str) -> Array:
    """Log-odds by plain TF-IDF and logistic regression, with scikit-learn's own settings."""
    vectors = TfidfVectorizer(analyzer=analyzer, ngram_range=(1, 2))
    model = LogisticRegression(max_iter=1000).fit(vectors.fit_transform(learnt.texts), learnt.content)
    result: Array = model.decision_function(vectors.transform(test.texts))
    return result


def measure(name: str, reviews: Feedback, in_test: NDArray[np.bool_], analyzer: str) -> dict[str, Result]:
    """AUC on the held-out texts, of ours and of the peer, and the size of the artefact."""
    learnt, test = reviews.where(~in_test), reviews.where(in_test)
    classifier = fit(learnt.texts, learnt.content)
    probability = classifier.predict(test.texts).probability
    other = peer(learnt, test, analyzer)
    mean, low, high = paired_bootstrap([(test.content, probability, other)], auc)
    size = sum(len(content) for content in classifier.to_files().values())
    print(f"{name}: {len(learnt.texts):,} texts learnt from, {len(test.texts):,} held out,"
          f" {test.content.mean():.3f} of them content; {len(classifier.terms):,} terms")  # fmt: skip
    print(f"  AUC over the peer's {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f}), Brier"
          f" {brier(test.content, probability):.4f}, calibration slope"
          f" {calibration_slope(test.content, probability):.2f}")  # fmt: skip
    topic_shares = topics.shares(test.texts)
    print("  topics:", ", ".join(f"{topic} {share:.0%}" for topic, share in topic_shares.items()))
    return {
        name: Result(auc(test.content, probability), "AUC", auc(test.content, other), better="higher"),
        f"{name}_difference_low": Result(low, "over TF-IDF", better="higher"),
        f"{name}_artefact": Result(size / 1e6, "MB"),
    }


def choose(data: Path) -> Settings:
    """Change one setting after the other, and keep changes that improve the mean over both kinds of
    reviews.
    """
    kinds = (english(data / ENGLISH_FILE), chinese(data / CHINESE_FILE))
    training = [reviews.where(~held_out(reviews)) for reviews in kinds]
    splits = [split for reviews in training for split in _splits(reviews)]
    chosen, numbers = START, _numbers(splits, START)
    best = _mean_auc(numbers, chosen)
    for name, values in CANDIDATES.items():
        for value in values:
            candidate = replace(chosen, **{name: value})
            if name in ("words", "characters", "min_documents"):
                value = _mean_auc(tried := _numbers(splits, candidate), candidate)
            else:
                value = _mean_auc(tried := numbers, candidate)
            if name != "most_terms" and value > best:
                best, chosen, numbers = value, candidate, tried
    print(f"{best:.5f}  {chosen}")
    return chosen


def _splits(reviews: Feedback) -> Iterator[tuple[Feedback, Feedback]]:
    """Training texts and texts to measure on, with each third in turn."""
    fold = folds(reviews.texts, INNER_FOLDS, "inner")
    return ((reviews.where(fold != i), reviews.where(fold == i)) for i in range(INNER_FOLDS))


def _numbers(splits: list[tuple[Feedback, Feedback]], settings: Settings) -> list[Numbers]:
    """The counts of each split, which do not depend on the settings of weights."""
    made = []
    for learnt, test in splits:
        index = {term: i for i, term in enumerate(frequent_terms(learnt.texts, settings))}
        known, new = (counts(side.texts, index, settings) for side in (learnt, test))
        made.append((known, learnt.content, new, test.content))
    return made


def _mean_auc(numbers: list[Numbers], settings: Settings) -> float:
    """The mean over the splits; printed, since the choice is based on it."""
    values = [auc(y, learn(known, x, settings).raw(new)) for known, x, new, y in numbers]
    print(f"{np.mean(values):.5f}  {' '.join(f'{value:.4f}' for value in values)}  {settings}", flush=True)
    return float(np.mean(values))


if __name__ == "__main__":
    choose(DATA)
