"""Sentiment of Chinese reviews of things and services. See ``reviews``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.report import Result
from benchmarks.quality import reviews

FILE = reviews.CHINESE_FILE


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    texts = reviews.chinese(file)
    return reviews.measure("reviews_zh", texts, reviews.held_out(texts), "char")
