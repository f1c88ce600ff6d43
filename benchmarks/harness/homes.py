"""Homes to measure on: a simulated shop with its trained models, made by the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BUILD_SECONDS = 900.0
VERBS = (["simulate"], ["train", "all"])


def environment(home: Path) -> Mapping[str, str]:
    """The environment variables of a process on a home, besides the inherited ones; telemetry is off."""
    return {
        "PATRON_HOME": str(home),
        "TZ": "UTC",  # Feast's SQLite store keeps local time
        "FEAST_USAGE": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }


def build(home: Path) -> None:
    """Simulate the default shop and train all models; takes about a minute and a half.

    Raises:
        RuntimeError: a command failed, or a model did not pass its gates; the text says why.
    """
    for verb in VERBS:
        run(home, verb)


def run(home: Path, verb: Sequence[str], permitted: Sequence[int] = (0,)) -> None:
    """Run a command of Patron on a home.

    Args:
        verb: its name and options. permitted: the exit codes that are no failure.

    Raises:
        RuntimeError: it failed; the text has the end of its output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "patron", *verb], env={**os.environ, **environment(home)},
        capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode not in permitted:
        raise RuntimeError(f"patron {' '.join(verb)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
