"""Sentiment of Chinese reviews of things and services. See ``reviews``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.report import Result
from benchmarks.quality import reviews

FILE = reviews.CHINESE_FILE


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    found = reviews.chinese(file)
    return reviews.measure("reviews_zh", found, reviews.held_out(found), "char")
