"""Homes to measure on: a simulated shop with its trained models, made by the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.report import Result

BUILD_SECONDS = 900.0
DRIFTED = 3
"""The exit code of `patron monitor` if a model drifted, as in a shop whose customers were repeated."""
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


def measured(
    measure: str, home: Path, verb: Sequence[str], permitted: Sequence[int] = (0,)
) -> dict[str, Result]:
    """Run a command of Patron on a home: its seconds, those on the processor, and its memory at its peak.

    Args:
        measure: the name of the results.

    Raises:
        RuntimeError: it failed.
    """
    words = [sys.executable, "-m", "patron", *verb]
    start = time.perf_counter()
    process = subprocess.Popen(words, env=os.environ | environment(home), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in permitted:
        raise RuntimeError(f"patron {verb[0]} ended with exit code {process.returncode}")
    return {
        measure: Result(seconds, "s"),
        f"{measure}: processor": Result(usage.ru_utime + usage.ru_stime, "s"),
        f"{measure}: memory": Result(usage.ru_maxrss / 1024**2, "GB"),
    }
