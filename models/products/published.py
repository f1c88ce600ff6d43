"""Versions of the ranking of products in the registry."""

from __future__ import annotations

from dataclasses import dataclass

from models.products.files import NAME, open_products
from models.products.ranker import FittedProducts
from models.registry.registry import Registry


@dataclass(frozen=True)
class Published:
    """A version of the ranking that is opened."""

    version: str
    ranking: FittedProducts


def open_version(registry: Registry, version: str) -> Published:
    """A published version, with every digest checked.

    Raises:
        PatronError: its files are missing or damaged, or of other code than this.
    """
    return Published(version, open_products(version, *registry.files(NAME, version)))


def open_champion(registry: Registry) -> Published:
    """The version that answers.

    Raises:
        NoChampion: none was promoted; the text says why.
        PatronError: as :func:`open_version`.
    """
    return open_version(registry, registry.champion_version(NAME))
