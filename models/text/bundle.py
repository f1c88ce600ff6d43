"""A published classifier of texts: its files, checked and opened."""

from __future__ import annotations

from collections.abc import Mapping

from features.errors import PatronError
from models.bundle import verified
from models.text.classifier import TERMS, TextClassifier

NAME = "feedback"
"""What the registry has the classifier of customers' feedback by."""


def open_classifier(version: str, files: Mapping[str, bytes], manifest_digest: str) -> TextClassifier:
    """Check every digest, then open.

    Raises:
        PatronError: a file is missing, was changed, or the version is no classifier of texts.
    """
    if TERMS not in verified(version, files, manifest_digest)["files"]:
        raise PatronError(f"model version {version} does not read texts; name one that was learnt from texts")
    return TextClassifier.from_files(files)
