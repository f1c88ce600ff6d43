"""A linear classifier of texts, stored as plain data: terms and their weights, without pickle.

A text is a vector of its known n-grams, each ``(1 + ln count) × scale``, normalised to length 1. The log-odds
of the label are the intercept plus the sum of ``weight × value``, so the contributions of the n-grams add up.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from core.storage import parquet
from features.text.tokens import as_written, ngrams, tokens

Array = NDArray[np.float64]
TERMS, PARAMETERS = "terms.parquet", "parameters.json"
TOP = 5


@dataclass(frozen=True)
class Settings:
    """The settings of the vectors and of the fit.

    The defaults were chosen by ``python -m benchmarks.quality.reviews``, on inner splits; that of
    ``most_terms`` also by the size of the file.

    Attributes:
        words, characters: the longest n-grams, in tokens: see :func:`features.text.tokens.ngrams`.
        min_documents: the minimum number of texts that contain a term.
        contrast: how much the scale of a term grows with the difference between the labels; 0 is tf-idf.
        smoothing: the number of texts without a difference that is added to each term.
        C: inverse strength of the L2 penalty of the logistic regression.
        most_terms: the maximum number of terms; those with the largest effect are kept.
    """

    words: int = 3
    characters: int = 4
    min_documents: int = 2
    contrast: float = 1.0
    smoothing: float = 2.0
    C: float = 10.0
    most_terms: int = 100_000


@dataclass(frozen=True)
class Predictions:
    """A classifier's predictions, one value per text.

    Attributes:
        probability: the calibrated probability that the label is 1; of a text without known terms, that of
            the intercept.
        confidence: the probability of the likelier label, 0.5 to 1; 0.5 for a text without known terms.
    """

    probability: Array
    confidence: Array


@dataclass(frozen=True)
class TextReason:
    """The contribution of an n-gram of a text to the log-odds; negative if against the label."""

    ngram: str
    contribution: float


@dataclass(frozen=True)
class TextExplanation:
    """An explained score: ``base``, the contributions in both lists and ``rest`` add up to ``raw_score``.

    Attributes:
        base: the log-odds of a text without known terms.
        in_favour, against: the n-grams with the largest contributions for and against the label, the largest
            first.
        rest: the sum of all other contributions.
    """

    raw_score: float
    base: float
    in_favour: tuple[TextReason, ...]
    against: tuple[TextReason, ...]
    rest: float


@dataclass(frozen=True)
class TextClassifier:
    """A fitted classifier: terms with their scales and weights.

    Attributes:
        terms: n-grams, as :func:`features.text.tokens.ngrams` returns them.
        scales, weights: of each term, see the module; weights are in log-odds.
        intercept: the log-odds of a text without known terms.
    """

    settings: Settings
    terms: tuple[str, ...]
    scales: NDArray[np.float32]
    weights: NDArray[np.float32]
    intercept: float

    @cached_property
    def _index(self) -> dict[str, int]:
        return {term: i for i, term in enumerate(self.terms)}

    def raw(self, texts: Sequence[Any]) -> Array:
        """The log-odds of each text; None and NaN count as empty texts."""
        return self._parts(texts) @ self.weights.astype(np.float64) + self.intercept

    def predict(self, texts: Sequence[Any]) -> Predictions:
        """The probability and the confidence of each text; independent of the other texts."""
        values = self._parts(texts)
        probability = expit(values @ self.weights.astype(np.float64) + self.intercept)
        known = np.diff(values.indptr) > 0
        return Predictions(probability, np.where(known, np.maximum(probability, 1 - probability), 0.5))

    def _parts(self, texts: Sequence[Any]) -> sparse.csr_array:
        return unit_rows(counts(texts, self._index, self.settings), self.scales.astype(np.float64))

    def explain(self, text: Any, top: int = TOP) -> TextExplanation:
        """Explain the score of a text by at most ``top`` n-grams for and as many against the label."""
        values = self._parts([text])
        parts = values.data * self.weights[values.indices].astype(np.float64)
        order = np.argsort(-np.abs(parts), kind="stable")
        reasons = [TextReason(as_written(self.terms[values.indices[i]]), float(parts[i])) for i in order]
        for_it = tuple(reason for reason in reasons if reason.contribution > 0)[:top]
        against = tuple(reason for reason in reasons if reason.contribution < 0)[:top]
        rest = float(parts.sum()) - sum(reason.contribution for reason in (*for_it, *against))
        return TextExplanation(self.intercept + float(parts.sum()), self.intercept, for_it, against, rest)

    def to_files(self) -> dict[str, bytes]:
        """The content of the classifier's files, a Parquet table and JSON, by file name."""
        table = pa.table({"term": list(self.terms), "scale": self.scales, "weight": self.weights})
        written = io.BytesIO()
        pq.write_table(table, written, compression="zstd", use_dictionary=False, write_statistics=False)
        parameters = {"intercept": self.intercept, "settings": asdict(self.settings)}
        return {TERMS: written.getvalue(), PARAMETERS: json.dumps(parameters, indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TextClassifier:
        """Read the result of :meth:`to_files`."""
        table = parquet.read_bytes(files[TERMS])
        parameters = json.loads(files[PARAMETERS])
        names = {field.name for field in fields(Settings)}
        settings = Settings(**{k: v for k, v in parameters["settings"].items() if k in names})
        scales, weights = (table[name].to_numpy() for name in ("scale", "weight"))
        return cls(settings, tuple(table["term"].to_pylist()), scales, weights, parameters["intercept"])


def counts(texts: Sequence[Any], index: Mapping[str, int], settings: Settings) -> sparse.csr_array:
    """The number of occurrences of each known term: a row per text, a column per term."""
    columns: list[int] = []
    numbers: list[int] = []
    ends = [0]
    for text in texts:
        terms = ngrams(tokens(text), settings.words, settings.characters)
        known = Counter(column for column in map(index.get, terms) if column is not None)
        columns += known.keys()
        numbers += known.values()
        ends.append(len(columns))
    data = np.array(numbers, np.float64), np.array(columns, np.int32), np.array(ends, np.int32)
    result = sparse.csr_array(data, shape=(len(texts), len(index)))
    result.sort_indices()
    return result


def unit_rows(matrix: sparse.csr_array, scales: Array) -> sparse.csr_array:
    """The counts as ``(1 + ln count) × scale``, each row normalised to length 1; an empty row stays empty."""
    data = (1 + np.log(matrix.data)) * scales[matrix.indices]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    length = np.sqrt(np.bincount(rows, weights=data**2, minlength=matrix.shape[0]))
    return sparse.csr_array((data / length[rows], matrix.indices, matrix.indptr), shape=matrix.shape)
