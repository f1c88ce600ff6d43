"""The model bundle, published by training and loaded by serving. Text and JSON, no pickle.

``manifest.json`` contains the model's question and features, and the digest of every other file:
``parameters.json``, ``trees.lgb`` (LightGBM's own text; a blend may have several such files) and
``reference.json`` (the distribution of features and scores at training time). Files whose names begin with
``order_probability.`` are those of :mod:`models.order_probability`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import PatronError
from features.earlier_definitions import EARLIER
from models.estimator import Array, Fitted
from models.estimators.opening import open_fitted
from models.order_probability import OrderProbability, open_order_probability
from models.registry.encoding import Column, matrix, numbers

FORMAT = 1
MANIFEST = "manifest.json"


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def pack(
    manifest: Mapping[str, Any], fitted: Fitted, reference: Mapping[str, Any],
    order: OrderProbability | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """The files of a bundle, including the manifest with the digests of the others."""
    files = fitted.to_files() | {"reference.json": json.dumps(reference, indent=1).encode()}
    return sealed(manifest, files if order is None else files | order.to_files())


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest that contains the digest of each."""
    full = {"format": FORMAT} | dict(manifest) | {"files": {n: digest(c) for n, c in files.items()}}
    return dict(files) | {MANIFEST: json.dumps(full, indent=2).encode()}


@dataclass(frozen=True)
class FittedModel:
    """A model version that can score. It contains its own features, not those of the current code.

    Attributes:
        order: of money, the probability of an order; None if the version has none.
    """

    version: str
    manifest: Mapping[str, Any]
    fitted: Fitted
    reference: Mapping[str, Any]
    order: OrderProbability | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["model"])

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The features of its matrix, in order."""
        return tuple(
            Column(**{**column, "vocabulary": tuple(column["vocabulary"])})
            for column in self.manifest["features"]
        )

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The features it needs, including those for eligibility."""
        conditions = (condition["feature"] for condition in self.manifest["eligible"])
        return tuple(dict.fromkeys([*(c.name for c in self.columns), *conditions]))

    @property
    def unused(self) -> tuple[str, ...]:
        """The features without effect on the score: no tree splits on them, and no line gives them weight."""
        used = self.fitted.used
        return tuple(column.name for i, column in enumerate(self.columns) if i not in used)

    def score(self, values: Mapping[str, Sequence[Any]], days: NDArray[np.int64] | None = None) -> Array:
        """Scores of customers.

        Args:
            values: feature values by name, one per customer; None for missing ones.
            days: of each row, counted from 1970-01-01, for the levels of the past; by default the present's.
        """
        x = matrix(self.columns, values)
        return self.score_matrix(x) if days is None else self._scores(self.fitted.predict_as_of(x, days))

    def score_matrix(self, x: Array) -> Array:
        """Scores of customers, from a matrix of ``columns``."""
        return self._scores(self.fitted.predict(x))

    def _scores(self, scores: Array) -> Array:
        return 1 - scores if self.manifest["complement"] else scores

    def interval(self, scores: Array, parts: tuple[Array, Array] | None = None) -> tuple[Array, Array] | None:
        """The lower and upper bound for each score; None if the model has no intervals.

        Args:
            parts: see :meth:`parts`; None for versions without them.
        """
        intervals = self.fitted.intervals
        bounds = None if intervals is None else intervals.of(scores)
        if bounds is None or parts is None or self.order is None:
            return bounds
        return self.order.bounds(bounds, parts)

    def deviation(self, scores: Array) -> Array | None:
        """The standard deviation of the outcome of each score; None if it was not learnt."""
        intervals = self.fitted.intervals
        return None if intervals is None else intervals.deviation(scores)

    @property
    def level(self) -> Mapping[str, float]:
        """The level of a blend by its fields, such as ``sd``; see :mod:`models.estimators.level`."""
        chosen: Mapping[str, Any] = getattr(self.fitted, "chosen", {})
        level: Mapping[str, float] = chosen.get("level", {})
        return level

    def parts(self, x: Array, scores: Array) -> tuple[Array, Array] | None:
        """The probability of an order and the amount if there is one, of each row; None without them.

        Args:
            x: a matrix of ``columns``. scores: of its rows.
        """
        return None if self.order is None else self.order.parts(x, scores)

    def refusals(self, values: Mapping[str, Sequence[Any]]) -> list[str | None]:
        """Per customer why they are not eligible; None if they are."""
        count = len(values[self.columns[0].name])
        reasons: list[str | None] = [None] * count
        for condition in self.manifest["eligible"]:
            low, high = condition["at_least"], condition["at_most"]
            for i, value in enumerate(values[condition["feature"]]):
                missing = value is None or value != value
                if missing or (low is not None and value < low) or (high is not None and value > high):
                    reasons[i] = reasons[i] or condition["otherwise"]
        return reasons

    def column_refusals(self, values: Mapping[str, pa.Array]) -> pa.DictionaryArray:
        """The same for features as Arrow arrays by name; null for eligible customers."""
        conditions = self.manifest["eligible"]
        first = np.full(len(values[self.columns[0].name]), len(conditions), np.int32)
        for i, condition in reversed(list(enumerate(conditions))):
            value = numbers(values[condition["feature"]])
            low, high = condition["at_least"], condition["at_most"]
            refused = np.isnan(value)
            if low is not None:
                refused |= value < low
            if high is not None:
                refused |= value > high
            first[refused] = i
        reasons = pa.array([condition["otherwise"] for condition in conditions], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(first, mask=first == len(conditions)), reasons)

    def percentiles(self, scores: Array) -> Array:
        """The share (0 to 100) of the customers at training time with at most each score."""
        return self._percentiles.searchsorted(scores, side="right") / 1.01

    @cached_property
    def _percentiles(self) -> Array:
        return np.array(self.manifest["score_percentiles"])

    @property
    def default_score(self) -> float:
        """The score for unknown customers: the median score at training time."""
        return float(self._percentiles[50])

    def check_definitions(self, current: Mapping[str, str]) -> None:
        """Refuse features whose definition has changed since training.

        Args:
            current: the hash of the definition of each available feature, by name.

        Raises:
            PatronError: features are missing or have changed; the message names them.
        """
        changed = [
            c.name
            for c in self.columns
            if current.get(c.name) != c.definition
            and not (c.name in current and c.definition in EARLIER.get(c.name, ()))
        ]
        if changed:
            raise PatronError(
                f"{self.name} version {self.version} was trained with other definitions of"
                f" {', '.join(changed)} than the current ones; run `patron train {self.name}`"
            )


def open_bundle(
    version: str, files: Mapping[str, bytes], manifest_digest: str, run_own_file: bool = False
) -> FittedModel:
    """Check every digest, then load.

    Args:
        run_own_file: whether the code of a user's estimator may run; see :mod:`models.estimators.own.stored`.

    Raises:
        PatronError: a file is missing, was changed, or has a format that this code does not read.
    """
    manifest = verified(version, files, manifest_digest)
    if "reference.json" not in manifest["files"]:
        raise PatronError(
            f"version {version} of {manifest.get('model')} is not a model that scores customers"
        )
    fitted, reference = open_fitted(files, run_own_file), json.loads(files["reference.json"])
    return FittedModel(version, manifest, fitted, reference, open_order_probability(files))


def verified(version: str, files: Mapping[str, bytes], manifest_digest: str) -> dict[str, Any]:
    """The manifest of a bundle, after checking that all files are as published.

    Raises:
        PatronError: a file is missing, was changed, or has a format that this code does not read.
    """
    changed = []
    manifest: dict[str, Any] = {}
    if MANIFEST not in files or digest(files[MANIFEST]) != manifest_digest:
        changed.append(MANIFEST)
    else:
        manifest = json.loads(files[MANIFEST])
        changed += [n for n, d in manifest["files"].items() if n not in files or digest(files[n]) != d]
    if changed:
        raise PatronError(
            f"model version {version} is refused: {', '.join(changed)} is missing or not as it was"
            " published (digest mismatch); promote another version or train again"
        )
    if manifest["format"] != FORMAT:
        raise PatronError(
            f"model version {version} has bundle format {manifest['format']}, and this code reads"
            f" {FORMAT}; train it again"
        )
    return manifest
