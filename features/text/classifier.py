"""A linear classifier of texts that is plain data: terms and their weights, no pickle.

A text is a vector of its known n-grams, each ``(1 + ln count) × scale``, of length 1. The log-odds of the
label are an intercept and the sum of ``weight × value``, so each n-gram's part can be told, and they
add up.
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

from core import parquet
from features.text.tokens import as_written, ngrams, tokens

Array = NDArray[np.float64]
TERMS, PARAMETERS = "terms.parquet", "parameters.json"
TOP = 5


@dataclass(frozen=True)
class Settings:
    """How a text becomes numbers, and how the weights are learnt.

    The defaults were chosen by ``python -m benchmarks.quality.reviews``, on inner splits; ``most_terms``
    by its size too.

    Attributes:
        words, characters: the longest n-grams, in tokens: see :func:`features.text.tokens.ngrams`.
        min_documents: a term is in at least so many texts.
        contrast: how much the scale of a term grows with the difference between the labels; 0 is tf-idf.
        smoothing: texts without a difference that each term is given beforehand.
        C: inverse strength of the L2 penalty of the logistic regression.
        most_terms: the terms that matter most are kept, at most so many.
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
    """What a classifier says of texts, one value per text.

    Attributes:
        probability: calibrated, of the label being 1; of a text in which it knows nothing, what it says
            before it has read anything.
        confidence: the probability of the likelier label, 0.5 to 1; 0.5 where it knows nothing.
    """

    probability: Array
    confidence: Array


@dataclass(frozen=True)
class TextReason:
    """What an n-gram of a text added to the log-odds; below 0 it spoke against the label."""

    ngram: str
    contribution: float


@dataclass(frozen=True)
class TextExplanation:
    """Log-odds taken apart: ``base``, the contributions of both lists and ``rest`` make ``raw_score``.

    Attributes:
        base: the log-odds before anything is read.
        in_favour, against: the n-grams that spoke most for and against the label, the strongest first.
        rest: what all others added together.
    """

    raw_score: float
    base: float
    in_favour: tuple[TextReason, ...]
    against: tuple[TextReason, ...]
    rest: float


@dataclass(frozen=True)
class TextClassifier:
    """Terms with their scales and weights; it has learnt, and changes no more.

    Attributes:
        terms: n-grams as :func:`features.text.tokens.ngrams` makes them.
        scales, weights: of each term, as the module says; weights are in log-odds.
        intercept: the log-odds of a text of which nothing is known.
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
        """The log-odds of each text; None and not a number are empty texts."""
        return self._parts(texts) @ self.weights.astype(np.float64) + self.intercept

    def predict(self, texts: Sequence[Any]) -> Predictions:
        """Probabilities of the label and how sure they are; the order of texts changes nothing."""
        values = self._parts(texts)
        probability = expit(values @ self.weights.astype(np.float64) + self.intercept)
        known = np.diff(values.indptr) > 0
        return Predictions(probability, np.where(known, np.maximum(probability, 1 - probability), 0.5))

    def _parts(self, texts: Sequence[Any]) -> sparse.csr_array:
        return unit_rows(counts(texts, self._index, self.settings), self.scales.astype(np.float64))

    def explain(self, text: Any, top: int = TOP) -> TextExplanation:
        """Why a text scores as it does, by at most ``top`` n-grams for and as many against."""
        values = self._parts([text])
        parts = values.data * self.weights[values.indices].astype(np.float64)
        order = np.argsort(-np.abs(parts), kind="stable")
        reasons = [TextReason(as_written(self.terms[values.indices[i]]), float(parts[i])) for i in order]
        for_it = tuple(reason for reason in reasons if reason.contribution > 0)[:top]
        against = tuple(reason for reason in reasons if reason.contribution < 0)[:top]
        rest = float(parts.sum()) - sum(reason.contribution for reason in (*for_it, *against))
        return TextExplanation(self.intercept + float(parts.sum()), self.intercept, for_it, against, rest)

    def to_files(self) -> dict[str, bytes]:
        """Everything needed to open it again, by file name: a Parquet table and JSON."""
        table = pa.table({"term": list(self.terms), "scale": self.scales, "weight": self.weights})
        written = io.BytesIO()
        pq.write_table(table, written, compression="zstd", use_dictionary=False, write_statistics=False)
        parameters = {"intercept": self.intercept, "settings": asdict(self.settings)}
        return {TERMS: written.getvalue(), PARAMETERS: json.dumps(parameters, indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TextClassifier:
        """Open what :meth:`to_files` wrote."""
        table = parquet.read_bytes(files[TERMS])
        parameters = json.loads(files[PARAMETERS])
        names = {field.name for field in fields(Settings)}
        settings = Settings(**{k: v for k, v in parameters["settings"].items() if k in names})
        scales, weights = (table[name].to_numpy() for name in ("scale", "weight"))
        return cls(settings, tuple(table["term"].to_pylist()), scales, weights, parameters["intercept"])


def counts(texts: Sequence[Any], index: Mapping[str, int], settings: Settings) -> sparse.csr_array:
    """How often each known term is in each text: a row per text, a column per term."""
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
    """Counts as ``(1 + ln count) × scale``, each row divided by its length; an empty row stays empty."""
    data = (1 + np.log(matrix.data)) * scales[matrix.indices]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    length = np.sqrt(np.bincount(rows, weights=data**2, minlength=matrix.shape[0]))
    return sparse.csr_array((data / length[rows], matrix.indices, matrix.indptr), shape=matrix.shape)
