"""Who lets which version answer: by hand, against its gates only when forced, and back again."""

from __future__ import annotations

import getpass
import os

from core.errors import NothingThere, PatronError
from models.registry.registry import Registry
from models.registry.settings import ModelSettings
from models.registry.versions import ROLLED_BACK, ModelVersion, Move, earlier
from models.text.bundle import NAME as FEEDBACK
from models.text.bundle import install

MOST_WORDS = 1000  # characters; a tag of a registered model holds 5,000


class GatesShut(PatronError):
    """A version did not pass its gates, and nobody forced it."""


def user() -> str:
    """Who is at the keyboard: ``PATRON_USER``, else the operating system's name of the user."""
    try:
        return ModelSettings().user or getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return f"uid {os.getuid()}"


def find(registry: Registry, name: str, version: str | None = None) -> ModelVersion:
    """A version of a model; the newest for None.

    Raises:
        PatronError: there is none, or not this one; the text says which there are.
    """
    versions = registry.versions(name)
    if not versions:
        raise NothingThere(f"{name} has no versions: it was never trained; run `patron train {name}`")
    found = next((v for v in versions if version in (None, v.version)), None)
    if found is None:
        there = ", ".join(v.version for v in reversed(versions))
        raise PatronError(f"{name} has no version {version!r}; there are {there}")
    return found


def promote(registry: Registry, name: str, version: str, why: str, force: bool = False) -> Move:
    """Let a version answer, on somebody's word.

    Raises:
        GatesShut: it did not pass its gates, and ``force`` is not given.
        PatronError: there is no such version, it answers already, or no reason is given.
    """
    why = _reason(why)
    chosen = find(registry, name, version)
    if chosen.champion:
        raise PatronError(f"{name} version {version} is the champion already")
    if chosen.refusals and not force:
        raise GatesShut(
            f"{name} version {version} is not promoted, since it did not pass its gates:"
            f" {'; '.join(chosen.refusals)} (--force promotes it all the same, and is recorded)"
        )
    return _moved(registry, registry.promote(name, version, user(), why, forced=bool(chosen.refusals)), name)


def rollback(registry: Registry, name: str, why: str) -> Move:
    """Let the version answer again that was promoted before the champion.

    Raises:
        PatronError: there is none, or no reason is given.
    """
    why = _reason(why)
    champion = find_champion(registry, name)
    before = earlier(registry.moves(name), champion, {v.version for v in registry.versions(name)})
    if champion is None or before is None:
        now = f"only version {champion} was ever promoted" if champion else "no version is promoted"
        raise PatronError(
            f"{name} cannot go back: {now}; `patron models {name}` lists versions, `patron promote` picks one"
        )
    forced = bool(find(registry, name, before).refusals)
    return _moved(registry, registry.promote(name, before, user(), why, ROLLED_BACK, forced), name)


def _moved(registry: Registry, move: Move, name: str) -> Move:
    """What follows from a move: who answers about texts reads them for features, too."""
    if name == FEEDBACK:
        install(registry)
    return move


def find_champion(registry: Registry, name: str) -> str | None:
    """The version that answers; None where there is none. At least one version must exist."""
    find(registry, name)
    return next((v.version for v in registry.versions(name) if v.champion), None)


def _reason(why: str) -> str:
    why = " ".join(why.split())
    if not why:
        raise PatronError('say why, for those who come after: --why "..."')
    if len(why) > MOST_WORDS:
        raise PatronError(f"the reason has {len(why):,} characters; {MOST_WORDS:,} are the most")
    return why
