"""Builds that begin with an earlier one: their values are those of the whole history, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq
import pytest

from benchmarks import lakes
from core.declarations.own_features import FILE
from core.home import Home
from events import lake
from features.ageing import ageing
from features.group import FeatureGroup
from features.groups import GROUPS, groups_of
from features.offline import current, habits, snapshots
from features.offline.increments import bases
from features.offline.increments.advance import Parts
from features.offline.snapshot_set import SnapshotSet, snapshot_path

BEGIN = datetime(2025, 1, 27, 23, tzinfo=UTC)  # midnight in the shop
OWN = """
[features.recent_lines]
from = "order_lines"
select = "count(*) FILTER (WHERE days_ago <= 45)"
meaning = "Lines of the last 45 days."
unit = "lines"
missing = 0
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with every kind of event, and with a feature of its own."""
    home = Home(tmp_path_factory.mktemp("increments"))
    lakes.make(home, 20_000)
    (home.path / FILE).write_text(OWN)
    return home


def moments() -> list[datetime]:
    """A moment, one later on its day, one over a change of the boundaries, and random ones."""
    random = Random(83)
    steps = [timedelta(hours=9), timedelta(days=1), timedelta(days=5)]
    steps += [timedelta(hours=random.randint(1, 150)) for _ in range(2)]
    return list(accumulate(steps, initial=BEGIN))


@pytest.mark.slow
def test_values_are_those_of_the_whole_history(home: Home, tmp_path: Path) -> None:
    chain = moments()
    folders = snapshots.store(home, chain)
    whole = {path: path.rename(tmp_path / f"{i}.parquet") for i, path in enumerate(files(home, chain[1:]))}
    for base, as_of in pairwise(chain):
        snapshots.store(home, [as_of], base=base)
    different = [
        f"{path.parent.name} {path.stem}: {name}"
        for path, expected in whole.items()
        for name in pq.read_schema(path).names
        if not pq.read_table(path)[name].equals(pq.read_table(expected)[name])
    ]
    assert len(whole) == len(folders) * (len(chain) - 1)
    assert different == []


def test_habits_are_those_of_the_whole_history(home: Home) -> None:
    chain = moments()[::2]
    folders = snapshots.store(home, chain)
    places = [habits.folder_of(home) / name for name in (habits.HOURS, habits.CHANNELS)]
    for as_of in chain:
        habits.write(home, SnapshotSet(folders, (), as_of))
    tables = [pq.read_table(place) for place in places]
    for place in places:
        place.unlink()
    habits.write(home, SnapshotSet(folders, (), chain[-1]))
    assert [pq.read_table(place) for place in places] == tables
    assert all(table.num_rows > 100 for table in tables)


def files(home: Home, as_ofs: Sequence[datetime]) -> list[Path]:
    folders = snapshots.folders_of(home)
    return [snapshot_path(folders, group, as_of) for group in groups_of(home) for as_of in as_ofs]


def test_windows_are_those_of_the_definitions() -> None:
    windows = {group.name: {t: sorted(ages) for t, ages in ageing(group).windows.items()} for group in GROUPS}
    assert windows == {
        "purchases": {"order_lines": [30, 90, 365], "refunds": [365]},
        "price": {"order_lines": [365]},
        "taste": {"order_lines": [90]},
        "engagement": {"activities": [1, 7, 30, 90]},
        "contacts": {"activities": [7, 30, 90, 365]},
        "subscription": {},
        "profile": {},
        "segments": {},
        "feedback": {"activities": [365]},
        "opinions": {"activities": [365]},
    }


def test_few_features_are_computed_for_everyone() -> None:
    parts = {group.name: Parts.of(group) for group in GROUPS}
    assert [f.name for f in parts["purchases"].derived] == ["overdue_ratio"]
    assert [f.name for f in parts["segments"].known] == ["taste_cluster"]
    assert [name for name, part in parts.items() if part.everyone] == ["subscription", "profile", "segments"]


MOMENT = ibis.timestamp("2024-01-01")
CASES = {
    "the number of events": (lambda t: t.count(), 0, []),
    "an age": (lambda t: t.days_ago.min(), 1, []),
    "a window, without its last day": (lambda t: t.count(where=t.days_ago < 90), 0, [89]),
    "one day of ages": (lambda t: t.count(where=t.days_ago == 7), 0, [6, 7]),
    "a span of ages": (lambda t: t.count(where=t.days_ago.between(8, 30)), 0, [7, 30]),
    "a number on the left": (lambda t: t.count(where=ibis.literal(14) >= t.days_ago), 0, [14]),
    "the days between two events": (lambda t: t.days_ago.max() - t.days_ago.min(), 0, []),
    "the days to an event's age": (lambda t: 30 - t.days_ago.min(), -1, []),
    "a window of what is left": (lambda t: (30 - t.days_ago.min() > 0).cast("int64"), None, []),
    "a mean age": (lambda t: t.days_ago.mean(), None, []),
    "an age or 0": (lambda t: t.days_ago.min().fill_null(0), None, []),
    "a day of the calendar": (lambda t: t.count(where=t.as_of.day() == 1), None, []),
    "hours before the moment": (
        lambda t: t.count(where=t.timestamp > t.as_of - ibis.interval(hours=30)), None, [],
    ),
    "the present": (lambda t: t.count(where=t.timestamp > ibis.now()), None, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_ageing_of(case: str) -> None:
    value, rate, ages = CASES[case]
    group = FeatureGroup("example", fresh_for=timedelta(days=1))

    def example(order_lines: ir.Table) -> ir.FloatingValue:
        """An example."""
        return value(order_lines)  # type: ignore[no-any-return]

    group.feature(unit="")(example)
    result = ageing(group)
    assert result.rates == {"example": rate}
    assert result.windows == ({"order_lines": frozenset(ages)} if ages else {})


@pytest.mark.parametrize(
    ("zone", "age", "sentence"),
    [
        (None, 1, "all customers, since no build of the imported events is there"),
        ("Asia/Tokyo", 1, f"all customers, since the last build was not in the time zone {lakes.ZONE}"),
        (lakes.ZONE, 8, "all customers, since the last build is not of the last 7 days"),
        (lakes.ZONE, 1, "all customers in the groups purchases, since their definitions, or the classifier"
            " of texts, have changed"),
        (lakes.ZONE, 2, "all customers, since the definitions of all groups have changed"),
        (lakes.ZONE, 0.5, "only what has changed since 2025-12-31 12:00 UTC"),
    ],
)  # fmt: skip
def test_a_build_says_what_it_computes(home: Home, zone: str | None, age: float, sentence: str) -> None:
    at, generation = lakes.END - timedelta(days=age), home.snapshots / lake.metadata(home).generation
    paths = {path.parent.name.partition("-")[0]: path for path in files(home, [at])}
    generation.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if age == 2 or (name == "purchases" and age == 1):
            path.unlink()
    (generation / current.POINTER).unlink(missing_ok=True)
    if zone is not None:
        current.write_pointer(generation, at, paths, zone)
    assert bases.choose(home, groups_of(home), snapshots.folders_of(home), [lakes.END]).sentence == sentence
