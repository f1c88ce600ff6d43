"""Sentiment of English reviews of clothing: of the text alone, and with its title. See ``reviews``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.report import Result
from benchmarks.quality import reviews

FILE = reviews.ENGLISH_FILE


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    plain, titled = reviews.english(file), reviews.english(file, titles=True)
    in_test = reviews.held_out(plain)
    return reviews.measure("reviews_en", plain, in_test, "word") | reviews.measure(
        "reviews_en_titled", titled, in_test, "word"
    )
