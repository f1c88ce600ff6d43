"""Sentiment of English reviews of clothing: of the text alone, and with its title. See ``reviews``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality import reviews
from benchmarks.report import Result

FILE = reviews.ENGLISH_FILE


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    titled = reviews.english(file, titles=True)
    return reviews.measure("reviews_en", reviews.english(file), "word") | reviews.measure(
        "reviews_en_titled", titled, "word"
    )
