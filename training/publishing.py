"""Publishes a fitted version, promotes it if it passes, and records the code and libraries that made it.

All pipelines publish through :func:`publish`: customers, products, categories, tables and texts.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

import features
from models.estimator import Array
from models.registry.registry import Registry
from models.registry.versions import TRAINED_TAG, ModelVersion, TrainingRun
from models.spec import Gate
from training.evaluation.promotion_checks import Comparison


def check_gates(gates: Iterable[Gate], metrics: Mapping[str, float]) -> tuple[str, ...]:
    """The reason of each gate that the metrics fail; empty if all pass."""
    return tuple(reason for gate in gates if (reason := gate.refusal(metrics)))


def not_promoted_because(failed_gates: tuple[str, ...], against_champion: Comparison | None) -> str:
    """Why a version that passed its gates is not promoted; empty if it is promoted, or if gates failed."""
    if failed_gates or against_champion is None or against_champion.passed:
        return ""
    return against_champion.words


def publish(
    registry: Registry,
    name: str,
    files: Mapping[str, bytes],
    run: TrainingRun,
    failed_gates: tuple[str, ...],
    against_champion: Comparison | None = None,
    before_promotion: Callable[[ModelVersion], None] | None = None,
) -> ModelVersion:
    """Register a version, and promote it if no gate failed and the champion does not rank better.

    Args:
        name: the registered model's.
        files: the version's bundle.
        failed_gates: the reason of each failed gate.
        against_champion: the comparison with the champion; None if the model is not compared.
        before_promotion: called with the registered version, to prepare what serving needs.

    Returns:
        The version; ``champion`` is set if it was promoted.

    Raises:
        PatronError: MLflow refused the request.
    """
    reason = not_promoted_because(failed_gates, against_champion)
    version = registry.publish(name, files, run, failed_gates, reason)
    if before_promotion is not None:
        before_promotion(version)
    if failed_gates or reason:
        return version
    why = "passed its gates" if against_champion is None else f"passed its gates; {against_champion.words}"
    registry.promote(name, version.version, "training", why)
    return replace(version, champion=True)


def run_tags(data_digest: str, moment: str) -> dict[str, str]:
    """The tags of a run.

    Args:
        moment: the shop's time of training, ISO 8601 in UTC.
    """
    return {"data_digest": data_digest, "code_version": code_version(), TRAINED_TAG: moment}


def provenance(scores: Array) -> dict[str, Any]:
    """The manifest's percentiles of the scores (0 to 100), and the versions of code and libraries."""
    return {
        "score_percentiles": np.quantile(scores, np.linspace(0, 1, 101)).tolist(),
        "versions": versions({"lightgbm": lightgbm.__version__}),
    }


def versions(libraries: Mapping[str, str]) -> dict[str, str]:
    """The versions that a manifest records: Patron's code, the libraries and Python."""
    return {"patron": code_version(), **libraries, "python": platform.python_version()}


def code_version() -> str:
    """The commit of this checkout, with ``+`` if it has changes; the package's version elsewhere."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
        return result.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return features.__version__
