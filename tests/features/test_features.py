"""The contract of every feature in ``features.groups``: a new one is tested by being listed there."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from core.calendar import day_of
from core.home import Home
from events import lake
from events.schema import POPULATION, SCHEMAS, Events, following, visible
from features.group import DTYPES, KEYS, Feature, FeatureGroup, compute
from features.groups import FEATURES, GROUPS
from features.offline import boundaries
from features.offline.populations import population_table
from features.offline.snapshots import version
from features.text import opinions

ROOT = Path(__file__).parents[2]
ZONE = "Europe/Berlin"
AS_OF = datetime(2023, 11, 27, 10, 20, 30, 123_456, tzinfo=UTC)
EARLIER = (datetime(2023, 3, 26, 0, 30, tzinfo=UTC), datetime(2022, 6, 1, tzinfo=UTC))
TICK = timedelta(microseconds=1)
NOBODY = 10**9
BAD = '"Very disappointed. Poor quality, arrived late, delivery and customer service never replied"'

every_feature = pytest.mark.parametrize("feature", FEATURES.values(), ids=repr)


class Lab:
    """The simulated shop's events as tables that can be changed, and some customers to ask about."""

    def __init__(self, home: Home) -> None:
        self.backend = lake.connect()
        events = boundaries.load_events(FEATURES.values(), home, self.backend, [*EARLIER, AS_OF])
        self.rows, self.boundaries = {name: t.to_pandas() for name, t in events.items()}, events.boundaries
        self.reader = opinions.TextReader.of(home)
        self.events = self.hold(self.rows)
        keys = np.unique(self.rows["traits"]["customer_key"])
        self.keys = [*np.random.default_rng(1).choice(keys, 400, replace=False).tolist(), NOBODY]
        self.now = [(key, AS_OF) for key in self.keys]
        everything = list(FEATURES.values())
        self.all_at_once = self.answers(everything)
        self.without_the_future = self.answers(everything, self.events.known_at(AS_OF))
        before = (AS_OF - TICK, *(AS_OF - timedelta(days=days) for days in (100, 500, 10)))
        self.in_time = self.answers(everything, self.with_news(before, AS_OF))
        self.late = self.answers(everything, self.with_news(before, AS_OF + TICK))
        after = (AS_OF, AS_OF + TICK, AS_OF + timedelta(days=40))
        self.future = self.answers(everything, self.with_news(after, AS_OF))
        shuffled = {name: rows.sample(frac=1, random_state=2) for name, rows in self.rows.items()}
        many = [(key, as_of) for as_of in (*EARLIER, AS_OF) for key in self.keys]
        np.random.default_rng(3).shuffle(many)
        mixed = self.answers(everything, self.hold(shuffled), many)
        stands = [i for i, as_of in enumerate(mixed["as_of"]) if as_of == AS_OF.replace(tzinfo=None)]
        self.shuffled_among_others = {name: [column[i] for i in stands] for name, column in mixed.items()}

    def hold(self, rows: dict[str, pd.DataFrame]) -> Events:
        """Event tables of these rows, in this order, and what their texts say."""
        tables = {}
        for name, frame in rows.items():
            # By Arrow itself, which takes None among decimals, as Ibis does not.
            filled, types = frame.astype(object).where(frame.notna(), None), ibis.schema(SCHEMAS[name])
            given = pa.Table.from_pandas(filled, types.to_pyarrow(), preserve_index=False)
            tables[name] = self.backend.create_table(ibis.util.gen_name(name), given, temp=True)
        stored = Events(**tables, boundaries=self.boundaries)
        return opinions.with_opinions(self.backend, stored, self.reader)

    def answers(
        self,
        features: list[Feature],
        events: Events | None = None,
        request: Iterable[tuple[int, datetime]] | None = None,
    ) -> dict[str, list[Any]]:
        """One list per column, by customer and moment; None where a value is null."""
        pairs = [(key, moment.replace(tzinfo=None)) for key, moment in request or self.now]
        frame = pd.DataFrame(pairs, columns=list(KEYS))
        population = population_table(self.backend, frame, ZONE)
        values = compute(events or self.events, population, features)
        columns: dict[str, list[Any]] = self.backend.to_pyarrow(values.order_by(KEYS)).to_pydict()
        return columns

    def with_news(self, happened: Iterable[datetime], received: datetime) -> Events:
        """The events and, for every customer, something of every kind at each moment of ``happened``."""
        tables = {}
        for name, rows in self.rows.items():
            news = [_news(name, key, m, received, i) for key in self.keys for i, m in enumerate(happened)]
            more = pd.DataFrame([row for part in news for row in part])
            tables[name] = pd.concat([rows.astype(object), more.astype(object)], ignore_index=True)
        return self.hold(tables)


def _news(name: str, key: int, happened: datetime, received: datetime, i: int) -> list[dict[str, Any]]:
    common = {
        "customer_key": key,
        "timestamp": happened.replace(tzinfo=None),
        "received_at": received.replace(tzinfo=None),
        "day": day_of(happened, ZONE),
    }
    if name == "traits":
        given_value = {"country": "XX", "channel": "pigeon", "newsletter": "true"}
        return [common | {"name": trait, "value": value} for trait, value in given_value.items()]
    bought = {"order_id": f"news-{key}-{i}", "product_id": f"NEWS-{i}"}
    bought["category"] = f"news {i}" if i else "toys"  # tastes are learnt of categories there were
    if name == "activities":
        return _activities(common, key, i)
    if name == "refunds":
        return [common | bought | {"quantity": 30, "amount": 4_000 + i, "matched": True}]
    return [common | bought | {"quantity": 70, "amount": 10_000 + i, "discount": i % 2}]


def _activities(common: dict[str, Any], key: int, i: int) -> list[dict[str, Any]]:
    """A visit, a cart left after the order, a message, clicked and complained of, subscriptions, feedback."""
    later = {"timestamp": common["timestamp"] + TICK}
    message = {"reference": f"news-{key}-{i}", "channel": "email"}
    club = {
        "reference": f"news-club-{i}",
        "amount": Decimal(10 + i),
        "properties": f'{{"period_months": {12 + i}}}',
    }
    other = {"reference": f"news-other-{i}"}
    given_value: list[dict[str, Any]] = [
        club | {"kind": "subscription_started"},
        later | club | {"kind": "subscription_renewed"},
        other | {"kind": "subscription_started"},
        later | other | {"kind": "subscription_cancelled"},
        *(
            {"kind": kind, "product_id": f"NEWS-{i}", "category": f"news {i}"}
            for kind in ("viewed", "searched")
        ),
        later | {"kind": "cart_added", "product_id": f"NEWS-{i}"},
        message | {"kind": "sent"},
        *(later | message | {"kind": kind} for kind in ("clicked", "unsubscribed", "marked_as_spam")),
        {"kind": "reviewed", "product_id": f"NEWS-{i}", "properties": f'{{"rating": 1.{i}, "text": {BAD}}}'},
        {"kind": "complaint_opened", "reference": f"news-{key}-{i}", "properties": f'{{"text": {BAD}}}'},
        {"kind": "survey_answered", "properties": '{"score": 0}'},
    ]
    hour = common["timestamp"].replace(tzinfo=UTC).astimezone(ZoneInfo(ZONE)).hour
    return [common | {"name": "News", "hour": hour} | row for row in given_value]


@pytest.fixture(scope="module")
def lab(shop: Home) -> Lab:
    return Lab(shop)


def differences(feature: Feature, left: dict[str, list[Any]], right: dict[str, list[Any]]) -> list[Any]:
    """(customer, one answer, the other) where they differ in any bit."""
    assert left["customer_key"] == right["customer_key"]
    rows = zip(left["customer_key"], left[feature.name], right[feature.name], strict=True)
    return [(key, a, b) for key, a, b in rows if a != b]


def test_names_are_unique_across_groups_and_no_key():
    names = [name for group in GROUPS for name in group.features]
    assert len(names) == len(set(names)) == len(FEATURES)
    assert not {*KEYS, "as_of_day", "created_at", "event_timestamp", "customer_id"} & set(names)
    assert len({group.name for group in GROUPS}) == len(GROUPS)


@every_feature
def test_a_feature_says_what_it_is(feature: Feature):
    assert feature.description.rstrip().endswith((".", ";", ")"))
    assert feature.unit
    assert feature.dtype in DTYPES.values()
    assert feature.name == feature.name.lower()
    assert feature.inputs
    window = [int(part[:-1]) for part in feature.name.split("_") if part[:-1].isdigit() and part[-1] == "d"]
    assert all(str(days) in feature.description for days in window)


@every_feature
def test_a_feature_has_the_type_it_says(feature: Feature):
    population = ibis.table(POPULATION, name="population")
    schema = feature.group.compute(Events.unbound(), population, [feature]).schema()
    assert schema.names == (*KEYS, feature.name)
    assert str(schema[feature.name]).lstrip("!") == feature.dtype


@every_feature
def test_without_any_event_a_customer_gets_the_missing_value(lab: Lab, feature: Feature):
    value = lab.all_at_once[feature.name][lab.all_at_once["customer_key"].index(NOBODY)]
    assert value == feature.missing
    assert not isinstance(value, bool)


@every_feature
def test_someone_gets_another_value_than_missing(lab: Lab, feature: Feature):
    known = [value for value in lab.all_at_once[feature.name] if value != feature.missing]
    assert len(known) > 10
    assert len(set(known)) > 1


@every_feature
def test_deleting_what_came_later_changes_nothing(lab: Lab, feature: Feature):
    assert differences(feature, lab.all_at_once, lab.without_the_future) == []


@every_feature
def test_adding_what_comes_later_changes_nothing(lab: Lab, feature: Feature):
    assert differences(feature, lab.all_at_once, lab.future) == []


@every_feature
def test_late_news_is_invisible(lab: Lab, feature: Feature):
    assert differences(feature, lab.all_at_once, lab.late) == []


@every_feature
def test_the_same_news_received_in_time_is_seen(lab: Lab, feature: Feature):
    position = lab.in_time["customer_key"].index(NOBODY)
    assert lab.in_time[feature.name][position] != feature.missing
    assert differences(feature, lab.all_at_once, lab.in_time)


@every_feature
def test_neither_the_order_of_rows_nor_other_questions_matter(lab: Lab, feature: Feature):
    assert differences(feature, lab.all_at_once, lab.shuffled_among_others) == []


@every_feature
def test_alone_a_feature_is_the_same_as_among_all(lab: Lab, feature: Feature):
    assert differences(feature, lab.all_at_once, lab.answers([feature])) == []


def test_every_question_gets_one_row(lab: Lab):
    assert lab.all_at_once["customer_key"] == sorted(lab.keys)


@pytest.fixture(scope="module")
def definitions_elsewhere() -> dict[str, str]:
    """Every definition as another process sees it, with other hash seeds and the groups reversed."""
    code = (
        "import json; from features.groups import FEATURES;"
        "print(json.dumps({n: f.definition() for n, f in reversed(FEATURES.items())}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    parsed: dict[str, str] = json.loads(done.stdout)
    return parsed


@every_feature
def test_a_definition_is_the_same_in_another_process(feature: Feature, definitions_elsewhere: dict[str, str]):
    assert feature.definition() == definitions_elsewhere[feature.name]


def _another(value: ir.Value) -> ir.Value:
    if isinstance(value, ir.BooleanValue):
        return ~value
    return value + "?" if isinstance(value, ir.StringValue) else value + 1


@every_feature
def test_a_definition_changes_with_the_function_and_not_with_its_words(feature: Feature):
    other = dataclasses.replace(feature, function=lambda *inputs: _another(feature.function(*inputs)))
    assert other.definition() != feature.definition()
    reworded = dataclasses.replace(feature, description="Said otherwise.", unit="another word")
    assert reworded.definition() == feature.definition()


def test_no_two_features_compute_the_same():
    assert len({feature.definition() for feature in FEATURES.values()}) == len(FEATURES)


def small_group(days: int = 30, smallest: int = 0, factor: float = 2.0) -> FeatureGroup:
    """A group with a table, a feature on it, and a feature on that."""
    group = FeatureGroup("small", fresh_for=timedelta(days=1))

    @group.table
    def large(order_lines: ir.Table) -> ir.Table:
        return order_lines.filter(order_lines.quantity > smallest)

    @group.feature(unit="lines", missing=0)
    def lines(large: ir.Table) -> ir.IntegerValue:
        """Lines."""
        return large.count(where=large.days_ago <= days)

    @group.feature(unit="lines")
    def doubled(lines: ir.IntegerValue) -> ir.FloatingValue:
        """Lines times a factor."""
        return lines * factor

    return group


def test_a_definition_changes_with_the_tables_and_features_it_is_made_of():
    def definitions(**changes: float) -> list[str]:
        return [f.definition() for f in small_group(**changes).features.values()]

    lines, doubled = definitions()
    assert definitions() == [lines, doubled]
    for changed in ({"days": 31}, {"smallest": 1}):
        other = definitions(**changed)
        assert other[0] != lines
        assert other[1] != doubled
    assert definitions(factor=3.0)[0] == lines
    assert definitions(factor=3.0)[1] != doubled


def test_a_groups_version_changes_with_any_of_its_definitions():
    versions = [version(small_group(**c)) for c in ({}, {"days": 31}, {"smallest": 1}, {"factor": 3.0})]
    assert len(set(versions)) == 4
    assert version(small_group()) == versions[0]


def moments(backend: Any, *pairs: tuple[datetime, datetime]) -> ir.Table:
    """Traits of customer 1, numbered, at these (timestamp, received_at)."""
    rows = [
        {
            "customer_key": 1,
            "timestamp": timestamp.replace(tzinfo=None),
            "received_at": received.replace(tzinfo=None),
            "day": day_of(timestamp, ZONE),
            "name": "n",
            "value": str(i),
        }
        for i, (timestamp, received) in enumerate(pairs)
    ]
    schema = ibis.schema(SCHEMAS["traits"])
    return backend.create_table(ibis.util.gen_name("traits"), pd.DataFrame(rows), schema=schema, temp=True)


def asked_at(backend: Any, *as_ofs: datetime) -> ir.Table:
    frame = pd.DataFrame({"customer_key": 1, "as_of": [a.replace(tzinfo=None) for a in as_ofs]})
    return population_table(backend, frame, ZONE)


def test_only_what_happened_before_and_was_known_by_then_is_visible():
    backend, hour = lake.connect(), timedelta(hours=1)
    table = moments(
        backend,
        (AS_OF - TICK, AS_OF),
        (AS_OF - TICK, AS_OF + TICK),
        (AS_OF, AS_OF),
        (AS_OF, AS_OF - hour),
        (AS_OF - 11 * hour, AS_OF - hour),  # still the same day in Berlin
        (AS_OF - 12 * hour, AS_OF - hour),
    )
    seen = visible(table, asked_at(backend, AS_OF)).order_by("value").execute()
    assert dict(zip(seen["value"], seen["days_ago"], strict=True)) == {"0": 0, "4": 0, "5": 1}


def test_what_is_known_at_a_moment_is_what_is_visible_then():
    backend = lake.connect()
    table = moments(
        backend, (AS_OF - TICK, AS_OF), (AS_OF - TICK, AS_OF + TICK), (AS_OF, AS_OF), (AS_OF, AS_OF - TICK)
    )
    empty = {name: ibis.memtable([], schema=SCHEMAS[name]) for name in SCHEMAS}
    known = Events(**(empty | {"traits": table})).known_at(AS_OF)
    assert list(known.traits.execute()["value"]) == ["0"]


def test_a_feature_made_of_features_is_filled_too():
    group = small_group()

    @group.feature(unit="days")
    def nothing(large: ir.Table) -> ir.IntegerValue:
        """Null without a line."""
        return large.days_ago.min()

    @group.feature(unit="days", missing=-5)
    def filled(nothing: ir.IntegerValue) -> ir.IntegerValue:
        """Null made a number."""
        return nothing * 2

    backend = lake.connect()
    events = Events(
        **{name: backend.create_table(name, schema=ibis.schema(schema)) for name, schema in SCHEMAS.items()}
    )
    (row,) = backend.to_pyarrow(group.compute(events, asked_at(backend, AS_OF))).to_pylist()
    assert (row["lines"], row["doubled"], row["nothing"], row["filled"]) == (0, 0.0, None, -5)


def test_what_follows_begins_at_the_moment_and_ends_with_the_last_day():
    backend = lake.connect()
    ends = datetime(2023, 11, 29, 23, tzinfo=UTC)  # midnight in Berlin, three days with that of as_of
    table = moments(
        backend, (AS_OF - TICK, AS_OF), (AS_OF, AS_OF), (ends - TICK, ends), (ends, ends), (AS_OF, ends)
    )
    actual = following(table, asked_at(backend, AS_OF), days=3).order_by("value").execute()
    assert list(actual["value"]) == ["1", "2", "4"]


def test_a_day_of_25_hours_counts_as_one():
    backend = lake.connect()
    before, after = datetime(2023, 10, 28, 21, 59, tzinfo=UTC), datetime(2023, 10, 28, 22, tzinfo=UTC)
    as_of = datetime(2023, 10, 29, 22, 30, tzinfo=UTC)  # 24.5 hours after the day began
    seen = visible(moments(backend, (before, before), (after, after)), asked_at(backend, as_of))
    assert list(seen.order_by("value").execute()["days_ago"]) == [1, 0]
