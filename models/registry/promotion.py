"""Promotion by the user: versions that failed their gates need force; and rollback."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable

from core.errors import NothingThere, PatronError
from models.estimators.own.stored import NOT_SERVABLE
from models.registry.registry import Registry
from models.registry.settings import ModelSettings
from models.registry.versions import ROLLED_BACK, ModelVersion, Promotion, earlier

MAX_REASON_LENGTH = 1000  # characters; MLflow limits a tag to 5,000

Hook = Callable[[Registry], None]
"""Called after a promotion or a rollback, for example to install the champion for the features."""


class GatesFailed(PatronError):
    """A version failed its gates, and the promotion is not forced."""


def user() -> str:
    """The name of the user: ``PATRON_USER``, else the operating system's name."""
    try:
        return ModelSettings().user or getpass.getuser()
    except (OSError, KeyError):  # a container may run under a user id without a name
        return f"uid {os.getuid()}"


def find(registry: Registry, name: str, version: str | None = None) -> ModelVersion:
    """The version of a model with that number; the newest for None.

    Raises:
        PatronError: there is no such version; the message lists the existing ones.
    """
    versions = registry.versions(name)
    if not versions:
        raise NothingThere(f"{name} has no versions: it was never trained; run `patron train {name}`")
    match = next((v for v in versions if version in (None, v.version)), None)
    if match is None:
        there = ", ".join(v.version for v in reversed(versions))
        raise PatronError(f"{name} has no version {version!r}; there are {there}")
    return match


def promote(
    registry: Registry,
    name: str,
    version: str,
    why: str,
    force: bool = False,
    hook: Hook | None = None,
    who: str | None = None,
) -> Promotion:
    """Promote a version on behalf of the user.

    Args:
        hook: called after the promotion is recorded.
        who: promotes it; :func:`user` for None.

    Raises:
        GatesFailed: the version failed its gates, and ``force`` is not given; or no service can load it.
        PatronError: there is no such version, it is the champion already, or the reason is missing.
    """
    why = _one_line(why)
    chosen = find(registry, name, version)
    if chosen.champion:
        raise PatronError(f"{name} version {version} is the champion already")
    if reason := next((w for w in chosen.failed_gates if w.startswith(NOT_SERVABLE)), None):
        raise GatesFailed(f"{name} version {version} cannot be promoted, even with --force: {reason}")
    if chosen.failed_gates and not force:
        raise GatesFailed(
            f"{name} version {version} is not promoted, since it did not pass its gates:"
            f" {'; '.join(chosen.failed_gates)} (--force promotes it all the same, and is recorded)"
        )
    promotion = registry.promote(name, version, who or user(), why, forced=bool(chosen.failed_gates))
    if hook is not None:
        hook(registry)
    return promotion


def rollback(
    registry: Registry, name: str, why: str, hook: Hook | None = None, who: str | None = None
) -> Promotion:
    """Make the version the champion that was promoted before the present one.

    Args:
        hook: called after the rollback is recorded.
        who: rolls back; :func:`user` for None.

    Raises:
        PatronError: there is no such version, or the reason is missing.
    """
    why = _one_line(why)
    champion = find_champion(registry, name)
    before = earlier(registry.promotions(name), champion, {v.version for v in registry.versions(name)})
    if champion is None or before is None:
        now = f"only version {champion} was ever promoted" if champion else "no version is promoted"
        raise PatronError(
            f"{name} cannot go back: {now}; `patron models {name}` lists versions, `patron promote` picks one"
        )
    forced = bool(find(registry, name, before).failed_gates)
    promotion = registry.promote(name, before, who or user(), why, ROLLED_BACK, forced)
    if hook is not None:
        hook(registry)
    return promotion


def find_champion(registry: Registry, name: str) -> str | None:
    """The champion's version; None if there is no champion.

    Raises:
        PatronError: the model has no versions.
    """
    find(registry, name)
    return next((v.version for v in registry.versions(name) if v.champion), None)


def _one_line(why: str) -> str:
    why = " ".join(why.split())
    if not why:
        raise PatronError('give a reason for the record: --why "..."')
    if len(why) > MAX_REASON_LENGTH:
        raise PatronError(f"the reason has {len(why):,} characters; {MAX_REASON_LENGTH:,} are the most")
    return why
