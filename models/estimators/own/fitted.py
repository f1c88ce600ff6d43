"""A fitted estimator of a user: scores, explanations and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from models.estimator import Array
from models.estimators.blend import FittedBlend
from models.estimators.intervals import Intervals
from models.estimators.own.definition import OwnFile
from models.estimators.own.stored import dumped, loaded
from models.measures.metrics import Numbers, logit

KEY = "own"
"""The key in ``parameters.json``."""
ESTIMATOR = "estimator.skops"
SMALLEST_MONEY = 0.01
_MAX_ROWS = 20_000  # of one call of the estimator: bounds the memory of explanations


@dataclass(frozen=True)
class FittedOwn:
    """A fitted pipeline, and the correction of its raw score.

    Attributes:
        kind: ``probability`` or ``money``.
        pipeline: of scikit-learn, from features to predictions.
        slope, intercept: from the raw score to log-odds, or to the logarithm of money.
        background: the customer with whom explanations compare.
        intervals: of money; None for probabilities.
        file: the user's file; None if the estimator comes from a library.
    """

    kind: str
    pipeline: Any
    slope: float
    intercept: float
    background: Array
    intervals: Intervals | None = None
    file: OwnFile | None = None

    def predict(self, x: Array) -> Array:
        """Probabilities, or money."""
        return self.corrected(raw_scores(self.pipeline, self.kind, x))

    def predict_row(self, row: Array) -> float:
        """The same for a single row."""
        return float(self.predict(row[None, :])[0])

    def predict_as_of(self, x: Array, days: NDArray[np.int64]) -> Array:  # noqa: ARG002 - the protocol's
        """The same as :meth:`predict`: no levels of the past are learnt."""
        return self.predict(x)

    def corrected(self, raw: Numbers) -> Numbers:
        """Convert raw scores, or a single one, to probabilities or money, as a blend does."""
        return self._correction.corrected(raw)

    @cached_property
    def _correction(self) -> FittedBlend:
        return FittedBlend(self.kind, {}, self.slope, self.intercept)

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the score of the background.

        Shapley values by sampling (Strumbelj and Kononenko, 2014) of two orders of the columns, one the
        reverse of the other: a column contributes the change when its value replaces that of the background.
        """
        columns = x.shape[1]
        total = np.zeros((len(x), columns))
        base = raw_scores(self.pipeline, self.kind, self.background[None, :])[0]
        for order in (np.arange(columns), np.arange(columns)[::-1]):
            current, before = np.repeat(self.background[None, :], len(x), axis=0), np.full(len(x), base)
            for start in range(0, columns, size := max(1, _MAX_ROWS // max(1, len(x)))):
                steps = []
                for column in order[start : start + size]:
                    current[:, column] = x[:, column]
                    steps.append(current.copy())
                scores = raw_scores(self.pipeline, self.kind, np.concatenate(steps)).reshape(
                    len(steps), len(x)
                )
                changes = np.diff(np.vstack([before, scores]), axis=0)
                total[:, order[start : start + size]] += changes.T / 2
                before = scores[-1]
        return np.column_stack([total, np.full(len(x), base)])

    @cached_property
    def needs_own_file(self) -> bool:
        """Whether it can only be loaded by running the user's file, which the service does not do."""
        return dumped(self.pipeline, self.file)[1]

    @property
    def used(self) -> frozenset[int]:
        """All columns: what the estimator ignores is unknown."""
        return frozenset(range(len(self.background)))

    def to_files(self) -> dict[str, bytes]:
        """The pipeline by skops, the user's file if loading runs it, and everything else as JSON.

        Raises:
            PatronError: the pipeline cannot be stored without pickle.
        """
        content, runs_file = dumped(self.pipeline, self.file)
        parameters = {
            KEY: {"file": self.file.name if runs_file and self.file else None},
            "kind": self.kind,
            "slope": self.slope,
            "intercept": self.intercept,
            "background": [None if np.isnan(value) else value for value in self.background.tolist()],
            "intervals": None if self.intervals is None else self.intervals.as_dict(),
        }
        files = {ESTIMATOR: content, "parameters.json": json.dumps(parameters, indent=2).encode()}
        if runs_file and self.file:
            files["own.py"] = self.file.text.encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], run_own_file: bool) -> FittedOwn:
        """Load what :meth:`to_files` wrote.

        Args:
            run_own_file: whether the user's file may run.

        Raises:
            PatronError: the file would have to run, and may not.
        """
        parameters = json.loads(files["parameters.json"])
        file, name = None, parameters[KEY]["file"]
        if name is not None:
            if not run_own_file:
                raise PatronError(
                    f"the estimator has classes of its own file {name}, so cannot be stored without that"
                    " code, which the service does not run: it is for batches only, by"
                    " `patron score --model MODEL --version VERSION`"
                )
            file = OwnFile(name, files["own.py"].decode())
        intervals = parameters["intervals"]
        return cls(
            parameters["kind"],
            loaded(files[ESTIMATOR], file),
            parameters["slope"],
            parameters["intercept"],
            np.array(parameters["background"], np.float64),
            None if intervals is None else Intervals.from_dict(intervals),
            file,
        )


@cache
def _threads() -> Any:
    """The pools of threads of the loaded libraries, looked up once: that takes longer than a score."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def raw_scores(pipeline: Any, kind: str, x: Array) -> Array:
    """The raw score of each row: log-odds, a regressor's prediction of 0 and 1, or the logarithm of money."""
    with _threads().limit(
        limits=1
    ):  # threads that wait for one another make single rows a hundred times slower
        if kind == "money":
            return np.log(np.maximum(np.asarray(pipeline.predict(x), np.float64).ravel(), SMALLEST_MONEY))
        if hasattr(pipeline, "predict_proba"):
            return logit(np.asarray(pipeline.predict_proba(x)[:, 1], np.float64))
        if hasattr(pipeline, "decision_function"):
            return np.asarray(pipeline.decision_function(x), np.float64)
        return np.asarray(pipeline.predict(x), np.float64).ravel()
