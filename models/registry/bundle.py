"""The model bundle: what training publishes and serving opens. Text and JSON, no pickle.

``manifest.json`` says what the model answers and reads, and holds the digest of every other file:
``parameters.json``, ``trees.lgb`` (LightGBM's own text; a blend may hold more such files) and
``reference.json`` (the distribution of features and scores it was accepted with).
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

from core.errors import PatronError
from features.earlier_definitions import EARLIER
from models.estimators.opening import open_fitted
from models.registry.encoding import Column, matrix, numbers
from models.spec import Array, Fitted

FORMAT = 1
MANIFEST = "manifest.json"


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def pack(manifest: Mapping[str, Any], fitted: Fitted, reference: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a bundle, the manifest with the digests of the others among them."""
    return sealed(manifest, fitted.to_files() | {"reference.json": json.dumps(reference, indent=1).encode()})


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files with a manifest that holds the digest of each."""
    full = {"format": FORMAT} | dict(manifest) | {"files": {n: digest(c) for n, c in files.items()}}
    return dict(files) | {MANIFEST: json.dumps(full, indent=2).encode()}


@dataclass(frozen=True)
class FittedModel:
    """A model version that can answer. It carries its own features, not those of today's code."""

    version: str
    manifest: Mapping[str, Any]
    fitted: Fitted
    reference: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["model"])

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The features it scores by, in the order of its matrix."""
        return tuple(
            Column(**{**column, "vocabulary": tuple(column["vocabulary"])})
            for column in self.manifest["features"]
        )

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The features it needs, those that decide on eligibility included."""
        conditions = (condition["feature"] for condition in self.manifest["eligible"])
        return tuple(dict.fromkeys([*(c.name for c in self.columns), *conditions]))

    @property
    def unused(self) -> tuple[str, ...]:
        """The features that change no score: without gain in the trees, and without weight in a line."""
        used = self.fitted.used
        return tuple(column.name for i, column in enumerate(self.columns) if i not in used)

    def score(self, values: Mapping[str, Sequence[Any]]) -> Array:
        """Scores of customers.

        Args:
            values: feature values by name, one per customer; None where missing.
        """
        return self.score_matrix(matrix(self.columns, values))

    def score_matrix(self, x: Array) -> Array:
        """Scores of customers, by a matrix of ``columns``."""
        scores = self.fitted.predict(x)
        return 1 - scores if self.manifest["complement"] else scores

    def interval(self, scores: Array) -> tuple[Array, Array] | None:
        """The lowest and the highest likely outcome of each score; None of a model that learnt none."""
        intervals = self.fitted.intervals
        return None if intervals is None else intervals.of(scores)

    def refusals(self, values: Mapping[str, Sequence[Any]]) -> list[str | None]:
        """Per customer why the question does not apply; None where it does."""
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
        """The same of many customers' features as Arrow arrays by name; null where the question applies."""
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
        """Share (0 to 100) of the customers at training time whose score was not above each."""
        return self._percentiles.searchsorted(scores, side="right") / 1.01

    @cached_property
    def _percentiles(self) -> Array:
        return np.array(self.manifest["score_percentiles"])

    @property
    def default_score(self) -> float:
        """What it says of somebody of whom nothing is known: the median score when it was trained."""
        return float(self._percentiles[50])

    def check_definitions(self, current: Mapping[str, str]) -> None:
        """Refuse features whose definition is not the one the model learnt from.

        Args:
            current: hash of the definition, by name, of the features on offer.

        Raises:
            PatronError: naming the features that are missing or have changed.
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
                f" {', '.join(changed)} than the feature store holds now; run `patron train {self.name}`"
            )


def open_bundle(version: str, files: Mapping[str, bytes], manifest_digest: str) -> FittedModel:
    """Check every digest, then open.

    Raises:
        PatronError: a file is missing, was changed, or is of a format this code does not know.
    """
    manifest = verified(version, files, manifest_digest)
    if "reference.json" not in manifest["files"]:
        raise PatronError(f"version {version} of {manifest.get('model')} is no model that scores customers")
    return FittedModel(version, manifest, open_fitted(files), json.loads(files["reference.json"]))


def verified(version: str, files: Mapping[str, bytes], manifest_digest: str) -> dict[str, Any]:
    """The manifest of a bundle whose files are all as they were published.

    Raises:
        PatronError: a file is missing, was changed, or is of a format this code does not know.
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
