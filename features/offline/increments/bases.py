"""The moment from whose snapshots those of a later one can be made; and if there is none, why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from core.home import Home
from events import lake
from events.warehouse import is_in_warehouse
from features.group import FeatureGroup
from features.offline import current
from features.offline.increments import row_digests
from features.offline.snapshot_set import snapshot_path

MAX_AGE = timedelta(days=7)  # the longer, the more customers change


@dataclass(frozen=True)
class Base:
    """Where a build begins.

    Attributes:
        moment: the moment; None if all features are computed from the whole history.
        sentence: which of both, and why, for people.
    """

    moment: datetime | None
    sentence: str


def choose(
    home: Home, groups: Sequence[FeatureGroup], folders: Mapping[str, Path], as_ofs: Sequence[datetime]
) -> Base:
    """Where the snapshots of the last of some moments begin: the last build, or a month after it.

    Raises:
        PatronError: the last build cannot be read.
    """
    generation, zone = lake.metadata(home).generation, home.shop().time_zone
    built = current.built_in_zone(home, generation)
    if built is None:
        return _whole("no build of the imported events is there")
    last, zone_then = built
    if zone_then != zone:
        return _whole(f"the last build was not in the time zone {zone}")
    moment = max((t for t in (last, *as_ofs) if t < as_ofs[-1]), default=None)
    if moment is None or as_ofs[-1] - moment > MAX_AGE:
        return _whole(f"the last build is not of the last {MAX_AGE.days} days")
    if is_in_warehouse(home) and not row_digests.stored(home, moment):  # its rows may change at any time
        return _whole("no digests of the warehouse's rows are there")
    other = [g.name for g in groups if moment == last and not snapshot_path(folders, g, last).exists()]
    if len(other) == len(groups):
        return _whole("the definitions of all groups have changed")
    if other:
        changed = "their definitions, or the classifier of texts, have changed"
        return Base(moment, f"all customers in the groups {', '.join(other)}, since {changed}")
    return Base(moment, f"only what has changed since {moment:%Y-%m-%d %H:%M} UTC")


def _whole(reason: str) -> Base:
    return Base(None, f"all customers, since {reason}")
