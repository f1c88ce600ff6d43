"""A published classifier of texts: loading its files."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import PatronError
from features.text import opinions
from features.text.classifier import PARAMETERS, TERMS, TextClassifier
from models.registry.bundle import verified
from models.registry.promotion import Hook
from models.registry.registry import Registry

NAME = "feedback"
"""The registry's name of the classifier of customers' feedback."""


def open_classifier(version: str, files: Mapping[str, bytes], manifest_digest: str) -> TextClassifier:
    """Check every digest, then load.

    Raises:
        PatronError: a file is missing, was changed, or the version is not a classifier of texts.
    """
    if TERMS not in verified(version, files, manifest_digest)["files"]:
        raise PatronError(f"model version {version} does not read texts; name one that was learnt from texts")
    return TextClassifier.from_files(files)


def install(registry: Registry) -> None:
    """Install the champion in the home, for the features that read texts.

    Raises:
        PatronError: there is no champion, or its files are missing or damaged.
    """
    version = registry.champion_version(NAME)
    files, manifest_digest = registry.files(NAME, version)
    open_classifier(version, files, manifest_digest)
    opinions.install(registry.home, {name: files[name] for name in (TERMS, PARAMETERS)})


def promotion_hook(name: str) -> Hook | None:
    """What follows a promotion of a model: the champion of ``feedback`` also reads the texts for features."""
    return install if name == NAME else None
