"""Compares versions of a model on the same customers at the same moments (origins)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from core.calendar import day_of
from core.errors import PatronError
from features.groups import features_of
from features.offline import populations
from features.workspace import Workspace
from models.registry import promotion
from models.registry.bundle import FittedModel
from models.registry.encoding import days_of
from models.registry.registry import Registry
from models.registry.versions import earlier
from models.spec import CustomerModel
from training.customers.dataset import columns_of, gather
from training.customers.horizon import with_horizon
from training.customers.sample import CustomerSample
from training.evaluation import slices
from training.evaluation.compare import RankingComparison, TestSet, compare

ORIGINS = 3


@dataclass(frozen=True)
class VersionComparison:
    """A comparison of versions.

    Attributes:
        against: the other version; None if there are only the baselines.
        seen: whether a version was trained after an origin, and so may have been trained on its outcomes.
    """

    model: str
    version: str
    against: str | None
    horizon_days: int
    seen: bool
    note: str
    result: RankingComparison

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        head = {key: value for key, value in vars(self).items() if key != "result"}
        return head | self.result.as_dict()


def choose(registry: Registry, name: str, version: str | None, against: str | None) -> tuple[str, str | None]:
    """The versions to compare: by default the newest version with the champion.

    If the newest version is the champion, it is compared with the champion before it; without one, with the
    baselines alone.

    Raises:
        PatronError: a version does not exist, or the two are the same.
    """
    ours = promotion.find(registry, name, version).version
    if against is not None:
        if promotion.find(registry, name, against).version == ours:
            raise PatronError(f"{name} version {ours} cannot be compared with itself; name another")
        return ours, against
    champion = promotion.find_champion(registry, name)
    if champion != ours:
        return ours, champion
    there = {v.version for v in registry.versions(name)}
    return ours, earlier(registry.promotions(name), champion, there)


def compare_versions(
    workspace: Workspace,
    registry: Registry,
    model: CustomerModel,
    version: str | None = None,
    against: str | None = None,
) -> VersionComparison:
    """Compare a version with another and with the model's baselines, on the same customers.

    The customers are those eligible for the model and both versions, as of the last monthly origins whose
    outcomes are known; if there are origins after both were trained, only those. If no version is named and
    the two by default have different horizons, the champion alone is compared with the baselines.

    Raises:
        PatronError: versions are missing, of other horizons or features, or outcomes too few.
    """
    ours, other = choose(registry, model.name, version, against)
    opened = {f"version {v}": registry.open(model.name, v) for v in (ours, other) if v is not None}
    left_out = ""
    if version is None and against is None and len(_horizons(opened.values())) > 1:
        champion = promotion.find_champion(registry, model.name)
        (left_out,) = (fitted.version for fitted in opened.values() if fitted.version != champion)
        opened = {name: fitted for name, fitted in opened.items() if fitted.version == champion}
        ours, other = str(champion), None
    horizon = _horizon(model.name, list(opened.values()))
    definitions = workspace.store.definitions()
    for fitted in opened.values():
        fitted.check_definitions(definitions)
    origins = _origins(workspace, list(opened.values()), horizon)
    test_sets = [_test_set(workspace, with_horizon(model, horizon), opened, origin) for origin in origins]
    comparison = compare(
        model.kind, test_sets, f"version {ours}", None if other is None else f"version {other}"
    )
    if comparison is None:
        raise PatronError(
            f"versions of {model.name} cannot be compared: fewer than {slices.MIN_OUTCOMES} outcomes of"
            " each kind are known; import more history"
        )
    seen = any(test_set.seen_by for test_set in test_sets)
    note = _note(test_sets, other)
    if left_out:
        note += f" Version {left_out} has another horizon, so is not compared."
    return VersionComparison(model.name, ours, other, horizon, seen, note, comparison)


def _horizons(opened: Iterable[FittedModel]) -> list[int]:
    """The different horizons of versions, in days."""
    return list(dict.fromkeys(int(fitted.manifest["horizon_days"]) for fitted in opened))


def _horizon(name: str, opened: Sequence[FittedModel]) -> int:
    days = _horizons(opened)
    if len(days) > 1:
        raise PatronError(
            f"{name} version {opened[0].version} looks {days[0]} days ahead and version"
            f" {opened[1].version} {days[1]}: they answer different questions and cannot be compared"
        )
    return days[0]


def _origins(workspace: Workspace, opened: Sequence[FittedModel], horizon: int) -> list[datetime]:
    """The last monthly moments with known outcomes, if possible after all versions were trained."""
    zone, months = workspace.shop.time_zone, set(populations.origins(workspace.home))
    today = day_of(workspace.snapshots.current, zone)
    known = [t for t in workspace.snapshots.as_ofs if t in months and day_of(t, zone) + horizon <= today]
    if not known:
        raise PatronError(
            f"nothing can be compared {horizon} days ahead: no month's outcome is known yet; import more"
            " history"
        )
    trained = max(_trained(fitted) for fitted in opened)
    return [t for t in known if t >= trained][-ORIGINS:] or known[-ORIGINS:]


def _trained(fitted: FittedModel) -> datetime:
    return datetime.fromisoformat(fitted.manifest["as_of"])


def _test_set(
    workspace: Workspace, model: CustomerModel, opened: dict[str, FittedModel], origin: datetime
) -> TestSet:
    """The customers eligible for all versions at an origin, with their outcomes and scores."""
    names = [f.name for f in model.features]
    for fitted in opened.values():
        names += fitted.features
    known = features_of(workspace.home)
    wanted = tuple(known[name] for name in dict.fromkeys([*names, *slices.FEATURES]))
    model, now = replace(model, features=wanted), workspace.snapshots.current
    sample = CustomerSample.of(workspace.snapshots)
    frame = gather(workspace.store, model, [origin], model.horizon_days, now, sample).frame
    for fitted in opened.values():
        eligible = [reason is None for reason in fitted.refusals(columns_of(frame))]
        frame = frame[eligible].reset_index(drop=True)
    scores = {
        name: fitted.score(columns_of(frame), days_of(frame["as_of"])) for name, fitted in opened.items()
    }
    for baseline in model.baselines:
        score = baseline.score(frame, model.horizon_days).fillna(0)
        scores[baseline.name] = score.to_numpy(np.float64)
    seen_by = tuple(name for name, fitted in opened.items() if origin < _trained(fitted))
    zone = workspace.shop.time_zone
    day = origin.astimezone(ZoneInfo(zone)).date().isoformat()
    return TestSet(day, seen_by, frame[["customer_key", "label", *slices.FEATURES]], scores)


def _note(test_sets: Sequence[TestSet], other: str | None) -> str:
    """What a reader must know about the origins, as text."""
    seen = sorted({name for test_set in test_sets for name in test_set.seen_by})
    if not seen:
        who = "the version was" if other is None else "both versions were"
        return f"All origins are after {who} trained, so their outcomes are new to them."
    return (
        f"Seen: origins are before {' and '.join(seen)} was trained, so their outcomes may be training data"
        " and flatter it. The measure of a later time is in `patron models`."
    )
