"""The segment overview with predicted totals: each measure from the newest score job that has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.home import Home
from features.offline import segment_overview
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.totals import of_job
from serving.totals.measures import MEASURES, MONEY, Measure

MAX_AGE = timedelta(days=8)  # of totals that are not stale: a weekly job, and a day
RUN = "run `patron score --out FILE`"


@dataclass(frozen=True)
class JobTotals:
    """The stored totals of a measure, and the job that they are of."""

    job: ScoreJob
    segments_as_of: datetime
    totals: Mapping[str, Any]


def overview(home: Home, champions: Mapping[str, str]) -> dict[str, Any]:
    """The segments as of the last build, and the totals of each and of the shop.

    A segment to which no customer belonged at the time of the job has no total.

    Args:
        champions: the champion's version of each model that has one.

    Raises:
        NothingThere: nothing was built from the current events.
    """
    content = segment_overview.read(home)
    newest = _newest(ScoreJobStore(home))
    now, currency = home.shop().now(), content["currency"]
    states = {
        measure.name: _state(measure, newest.get(measure.name), champions, now, currency)
        for measure in MEASURES
    }
    kinds = [
        {**kind, "segments": [s | _totals(newest, kind["name"], s["name"]) for s in kind["segments"]]}
        for kind in content["kinds"]
    ]
    shop = {m.name: newest[m.name].totals["shop"] if m.name in newest else None for m in MEASURES}
    return {**content, **shop, "totals": states, "kinds": kinds}


def shop_total_before(home: Home, measure: str, moment: datetime) -> float | None:
    """What was expected of the shop by the newest score job before a moment; None if none is stored."""
    store = ScoreJobStore(home)
    for _, content in _stored(store, (job for job in store.list_jobs() if job.at < moment)):
        if measure in content["measures"]:
            expected: float | None = content["measures"][measure]["shop"]["expected"]
            return expected
    return None


def _newest(store: ScoreJobStore) -> dict[str, JobTotals]:
    """By measure the totals of the newest job that has them."""
    newest: dict[str, JobTotals] = {}
    for job, content in _stored(store, store.list_jobs()):
        as_of = datetime.fromisoformat(content["segments_as_of"])
        for name, measured in content["measures"].items():
            newest.setdefault(name, JobTotals(job, as_of, measured))
        if len(newest) == len(MEASURES):
            break
    return newest


def _stored(store: ScoreJobStore, jobs: Iterable[ScoreJob]) -> Iterator[tuple[ScoreJob, dict[str, Any]]]:
    """The finished jobs of all customers that have totals, and these."""
    for job in jobs:
        if job.status == "done" and job.segment is None:
            content = of_job.read(store, job)
            if content is not None:
                yield job, content


def _totals(newest: Mapping[str, JobTotals], kind: str, segment: str) -> dict[str, Any]:
    """The totals of a segment, by measure; None where there is none."""
    segments = {name: of.totals["segments"].get(kind, {}) for name, of in newest.items()}
    return {measure.name: segments.get(measure.name, {}).get(segment) for measure in MEASURES}


def _state(
    measure: Measure, of: JobTotals | None, champions: Mapping[str, str], now: datetime, currency: str
) -> dict[str, Any]:
    """What a measure means, what it was computed from, and why it is stale or missing."""
    state: dict[str, Any] = {"unit": currency if measure.unit == MONEY else measure.unit}
    if of is None:
        nothing = dict.fromkeys(("meaning", "scored_at", "segments_as_of", "stale"))
        return {**state, **nothing, "models": {}, "reason": _missing(measure, champions)}
    horizons = of.totals["horizons"]
    return {
        **state,
        "meaning": measure.meaning_of(horizons),
        "scored_at": of.job.at.isoformat(),
        "segments_as_of": of.segments_as_of.isoformat(),
        "models": {
            name: {"version": of.job.models[name], "horizon_days": horizons[name]} for name in measure.models
        },
        "stale": _stale(measure, of, champions, now),
        "reason": None,
    }


def _missing(measure: Measure, champions: Mapping[str, str]) -> str:
    untrained = [name for name in measure.models if name not in champions]
    if untrained:
        return f"{' and '.join(untrained)} has no champion; run `patron train {untrained[0]}`, then {RUN}"
    return f"no stored score job of all customers has totals of {' and '.join(measure.models)}; {RUN}"


def _stale(measure: Measure, of: JobTotals, champions: Mapping[str, str], now: datetime) -> str | None:
    """Why the totals should be computed again; None if they should not."""
    for name in measure.models:
        version, champion = of.job.models[name], champions.get(name)
        if champion is not None and champion != version:
            return f"by version {version} of {name}, and the champion is version {champion}; {RUN}"
    if now - of.job.at > MAX_AGE:
        return f"scored {(now - of.job.at).days} days ago; {RUN}"
    return None
