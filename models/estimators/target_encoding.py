"""Target encoding: each of many categories becomes the mean outcome of its customers (Micci-Barreca, 2001).

The rows of a fit are encoded out of fold, by scikit-learn's ``TargetEncoder``: the encoding of a row has not
seen its outcome. Otherwise a rare category would contain the outcome that it is to predict. The mean of a
category is shrunk towards that of all customers, the more the fewer it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array, FitContext
from models.estimators.trees import CalibratedTrees, FittedTrees, MoneyTrees
from models.measures.metrics import Numbers

FOLDS = 5
SEED = 7
KEY = "target_encoding"
"""The key of the encodings in ``parameters.json``."""


@dataclass(frozen=True)
class TargetEncoding:
    """The encodings of some columns of codes.

    Attributes:
        means: by position of a column the mean outcome of each code, that of missing values last.
    """

    means: Mapping[int, Array]

    def transform(self, x: Array) -> Array:
        """A matrix in which the codes of these columns are replaced by their means."""
        encoded = x.copy()
        for column, means in self.means.items():
            codes = np.where(np.isfinite(x[:, column]), x[:, column], len(means) - 1)
            encoded[:, column] = means[codes.astype(np.int64)]
        return encoded


def fit_encoding(x: Array, y: Array, columns: Mapping[int, int]) -> tuple[TargetEncoding, Array]:
    """Fit the encodings, and encode the rows themselves out of fold.

    Args:
        columns: by position of a column the number of its categories.
    """
    if not columns:
        return TargetEncoding({}), x
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    positions = list(columns)
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    encoder = TargetEncoder(target_type="continuous", cv=folds)
    out_of_fold = x.copy()
    out_of_fold[:, positions] = encoder.fit_transform(x[:, positions], y)
    means = {}
    for column, codes, values in zip(positions, encoder.categories_, encoder.encodings_, strict=True):
        of_column = np.full(columns[column] + 1, float(encoder.target_mean_))
        places = np.where(np.isfinite(codes), codes, columns[column]).astype(np.int64)
        of_column[places] = values
        means[column] = of_column
    return TargetEncoding(means), out_of_fold


@dataclass(frozen=True)
class TargetEncodedTrees:
    """Trees on a matrix in which some columns are target-encoded.

    Attributes:
        trees: fitted to the encoded matrix.
        columns: by position of an encoded column the number of its categories.
    """

    trees: CalibratedTrees | MoneyTrees
    columns: Mapping[int, int]

    def fit(
        self, x: Array, y: Array, customers: NDArray[np.int64], categorical: Sequence[int],
        context: FitContext | None = None,
    ) -> FittedTargetEncodedTrees:  # fmt: skip
        """Encode, then fit the trees to the rows as encoded out of fold."""
        encoding, encoded = fit_encoding(x, y, self.columns)
        other = [column for column in categorical if column not in self.columns]
        return FittedTargetEncodedTrees(self.trees.fit(encoded, y, customers, other, context), encoding)


@dataclass(frozen=True)
class FittedTargetEncodedTrees:
    """Fitted trees, and the encodings of the columns that they read.

    Attributes:
        intervals: always None.
    """

    trees: FittedTrees
    encoding: TargetEncoding
    intervals: None = None

    def predict(self, x: Array) -> Array:
        """Probabilities, or money."""
        return self.trees.predict(self.encoding.transform(x))

    def predict_row(self, row: Array) -> float:
        """The same for a single row."""
        return float(self.predict(row[None, :])[0])

    def predict_as_of(self, x: Array, days: NDArray[np.int64]) -> Array:  # noqa: ARG002 - the protocol's
        """The same as :meth:`predict`: no levels of the past are learnt."""
        return self.predict(x)

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows."""
        return self.trees.contributions(self.encoding.transform(x))

    def corrected(self, raw: Numbers) -> Numbers:
        """Convert raw scores, or a single one, to probabilities or money."""
        return self.trees.corrected(raw)

    @property
    def used(self) -> frozenset[int]:
        """The columns that the trees split on."""
        return self.trees.used

    def to_files(self) -> dict[str, bytes]:
        """The files of the trees, with the encodings among the parameters."""
        files = self.trees.to_files()
        parameters = json.loads(files["parameters.json"])
        parameters[KEY] = {str(column): means.tolist() for column, means in self.encoding.means.items()}
        return files | {"parameters.json": json.dumps(parameters, indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> FittedTargetEncodedTrees:
        """Load what :meth:`to_files` wrote."""
        parameters = json.loads(files["parameters.json"])
        means = {int(column): np.array(values) for column, values in parameters.pop(KEY).items()}
        inner = {**files, "parameters.json": json.dumps(parameters).encode()}
        return cls(FittedTrees.from_files(inner), TargetEncoding(means))
