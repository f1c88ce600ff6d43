"""All checks of `patron doctor`: the home, the keys and the models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from core.home import Home
from features.live.freshness import FreshnessMonitor
from features.live.heartbeat import BEAT_S
from serving.operations import checks, deliveries, ownership
from serving.operations.checks import OK, WARNING, Check
from serving.operations.privacy import privacy

EXPIRES_SOON = timedelta(days=14)


def models(home: Home) -> Iterator[Check]:
    """The registry, and which version of each model answers."""
    from models.questions import MODELS, every
    from models.registry.other_models import OTHER_MODELS
    from models.registry.registry import Registry
    from models.registry.versions import why_none

    registry = Registry(home)
    versions_by_model = {name: registry.versions(name) for name in (*every(), *OTHER_MODELS)}
    yield Check("MLflow", OK, f"{registry.mlflow.version}, {registry.mlflow.place}")
    for name, versions in versions_by_model.items():
        if name not in MODELS and not versions:
            continue  # one that this shop does not ask
        champion = next((version for version in versions if version.champion), None)
        if champion is None:
            yield Check(name, WARNING, why_none(name, versions))
        else:
            look = registry.manifest if name in OTHER_MODELS else registry.open
            look(name, champion.version)
            yield Check(name, OK, f"version {champion.version} of {len(versions)} answers")


def refresher(home: Home) -> Iterator[Check]:
    """The refresher of a shop that receives events: whether it works, and how far it is behind."""
    if not home.shop().live:
        return
    monitor = FreshnessMonitor(home, grace_s=0)
    freshness = monitor.read()
    if freshness.heartbeat is None:
        yield Check("refresher", WARNING, "none ever worked in this home", "start `patron refresh`")
        return
    reason = freshness.reason
    if reason is not None:  # clocks of two machines may differ; a heartbeat that changes is a living one
        time.sleep(1.5 * BEAT_S)
        reason = monitor.read().reason
    works = f"{freshness.heartbeat.words} keeps up"
    if freshness.shards > 1:
        works = f"the refreshers of all {freshness.shards} shards keep up"
    state, result = (OK, works) if reason is None else (WARNING, reason)
    yield Check("refresher", state, result)


def keys(home: Home) -> Iterator[Check]:
    """The keys, and which of them expire soon."""
    from serving.access.keys import Keys

    all_keys = Keys(home)
    now, living = all_keys.now(), all_keys.living()
    yield Check("keys", OK, f"{len(living)} open something")
    for key in living:
        if key.state(now) == "current" and key.expires and key.expires - now <= EXPIRES_SOON:
            result = f"the key {key.name!r} expires at {key.expires:%Y-%m-%d %H:%M} UTC"
            yield Check(
                "keys", WARNING, result, "`patron keys rotate` makes another, and the old one works on"
            )


def examine(home: Home) -> list[Check]:
    """All checks, in the order in which one depends on the other; the first ones where there is no shop."""
    parts = checks.PARTS | {
        "refresher": refresher, "privacy": privacy, "home": ownership.check, "keys": keys, "MLflow": models,
        "deliveries": deliveries.check,
    }  # fmt: skip
    if not home.settings_file.exists():
        parts = {name: parts[name] for name in ("versions", "privacy", "database", "shop")}
    return checks.run(parts, home)
