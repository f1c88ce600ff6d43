"""The lake: how events lie on disk, and that a home holds the old ones or the new ones, never half."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.calendar import EPOCH, day_of
from core.errors import NothingThere, PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from events.lake import versions
from events.schema import OWN_COLUMNS, SCHEMAS, STORED, Events

Rows = dict[str, list[tuple[Any, ...]]]
START = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def some_events(seed: int = 1, customers: int = 60) -> Rows:
    """Events of every table of some customers, many at equal times."""
    rng = np.random.default_rng(seed)
    rows: Rows = {name: [] for name in SCHEMAS}
    for _ in range(1200):
        customer = f"id-{rng.integers(customers)}"
        moment = START + timedelta(hours=int(rng.integers(3000)))
        late = moment + timedelta(minutes=int(rng.integers(3)))
        money = f"{rng.integers(10_000) / 100:.2f}"
        bought = (f"o{rng.integers(500)}", f"p{rng.integers(9)}", None if rng.random() < 0.2 else "c", 1)
        kind = rng.random()
        if kind < 0.7:
            rows["order_lines"].append((customer, moment, late, *bought, money, "0"))
        elif kind < 0.8:
            rows["refunds"].append((customer, moment, late, None, *bought[1:], money, False))
        elif kind < 0.95:
            rows["traits"].append((customer, moment, late, "country", f"C{rng.integers(4)}"))
        else:
            seen = ("Product Viewed", "viewed", "web", None, f"p{rng.integers(9)}", None, None, "{}")
            rows["activities"].append((customer, moment, late, *seen))
    return rows


def holding(rows: Rows) -> duckdb.DuckDBPyConnection:
    """A source's tables: the canonical ones with ``customer_id``, without what the lake adds."""
    connection = lake.connect().con
    for name, schema in SCHEMAS.items():
        columns = {"customer_id": "string"} | {
            c: "string" if "decimal" in t else t for c, t in schema.items() if c not in OWN_COLUMNS
        }
        arrow = {"string": pa.string(), "int64": pa.int64(), "boolean": pa.bool_()}
        types = [arrow.get(dtype, pa.timestamp("us")) for dtype in columns.values()]
        values = list(zip(*rows[name], strict=True)) or [()] * len(columns)
        arrays = [pa.array(v, t) for v, t in zip(values, types, strict=True)]
        connection.register("rows", pa.table(arrays, names=list(columns)))
        connection.execute(f"CREATE TABLE {name} AS FROM rows")
    return connection


def write(home: Home, rows: Rows, zone: str = "Europe/London", **description: Any) -> str:
    """Write the events; the generation they got."""
    lake.write(home, holding(rows), zone, {"source": "test", **description})
    generation: str = lake.metadata(home).generation
    return generation


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def full(home: Home) -> Home:
    write(home, some_events(), note="first")
    return home


def stored(home: Home, name: str) -> list[dict[str, Any]]:
    files = sorted((lake.current(home).folder / name).glob("*/*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def counted(events: Events) -> dict[str, Counter[tuple[Any, ...]]]:
    """The multiset of events of each table."""
    return {
        name: Counter(map(tuple, table.to_pandas().astype(str).to_numpy())) for name, table in events.items()
    }


def visible(home: Home) -> dict[str, Counter[tuple[Any, ...]]]:
    return counted(lake.read(home, lake.connect()))


def test_every_event_is_stored_once_under_its_customers_key(full: Home):
    ids = {v: k for k, v in Identity(full).keys([f"id-{i}" for i in range(60)]).items()}
    for name, rows in some_events().items():
        result = [(ids[r["customer_key"]], r["timestamp"], r["received_at"]) for r in stored(full, name)]
        assert sorted(result) == sorted(row[:3] for row in rows)
        assert "customer_id" not in stored(full, name)[0]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_customer_lies_in_one_bucket_sorted_by_time(full: Home, name: str):
    folders = sorted((lake.current(full).folder / name).iterdir())
    assert [f.name for f in folders] == [f"bucket={b:02d}" for b in range(lake.BUCKETS)]
    for bucket, folder in enumerate(folders):
        table = pq.read_table(folder / "part-0.parquet", partitioning=None)
        assert table.column_names == list(STORED[name])
        keys, times = table["customer_key"].to_pylist(), table["timestamp"].to_pylist()
        assert {key % lake.BUCKETS for key in keys} <= {bucket}
        assert list(zip(keys, times, strict=True)) == sorted(zip(keys, times, strict=True))


def test_times_are_stored_in_microseconds_and_money_exactly(full: Home):
    schema = pq.read_schema(lake.current(full).folder / "order_lines" / "bucket=01" / "part-0.parquet")
    assert schema.field("timestamp").type == schema.field("received_at").type == pa.timestamp("us")
    assert schema.field("amount").type == schema.field("discount").type == pa.decimal128(18, 4)
    assert schema.field("day").type == pa.int32()


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Shanghai", "America/St_Johns", "Pacific/Apia"])
def test_day_and_hour_are_the_shops_local_ones(home: Home, zone: str):
    edges = [(2024, 3, 31), (2024, 10, 27), (2024, 2, 29), (2023, 12, 31), (2011, 12, 30), (1969, 12, 31)]
    moments = [
        datetime(*edge) + timedelta(hours=hour, microseconds=tick)  # noqa: DTZ001
        for edge in edges
        for hour in range(-26, 40)
        for tick in (-1, 0)
    ]
    traits = [("a", moment, moment, "country", "X") for moment in moments]
    orders = [("a", moments[0], moments[0], "o", "p", None, 1, "1", "0")]
    seen = [("a", moment, moment, "Page Viewed", "page", *[None] * 6) for moment in moments]
    write(home, {"order_lines": orders, "refunds": [], "traits": traits, "activities": seen}, zone)
    result = {row["timestamp"]: row["day"] for row in stored(home, "traits")}
    assert result == {m: day_of(m.replace(tzinfo=UTC), zone) for m in moments}
    local = [m.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date() for m in moments]
    assert list(result.values()) == [(d - EPOCH).days for d in sorted(local)]
    hours = {row["timestamp"]: (row["day"], row["hour"]) for row in stored(home, "activities")}
    clock = {m: m.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).hour for m in moments}
    assert hours == {m: (day, clock[m]) for m, day in result.items()}


def test_the_generation_depends_on_the_events_and_not_on_their_order(tmp_path: Path):
    rows = some_events()
    generation = write(Home(tmp_path / "a"), rows)
    backwards = {name: list(reversed(part)) for name, part in rows.items()}
    assert write(Home(tmp_path / "b"), backwards, note="told otherwise") == generation

    changes: list[Callable[[Rows], None]] = [
        lambda r: r["order_lines"].append(r["order_lines"][0]),
        lambda r: r["order_lines"].pop(),
        lambda r: r["refunds"].pop(),
        lambda r: r["activities"].pop(),
        lambda r: r["traits"].__setitem__(5, (*r["traits"][5][:-1], "elsewhere")),
        lambda r: r["order_lines"].__setitem__(5, (*r["order_lines"][5][:-2], "0.0001", "0")),
    ]
    others = set()
    for i, change in enumerate(changes):
        changed = some_events()
        change(changed)
        others.add(write(Home(tmp_path / f"changed-{i}"), changed))
    assert len(others | {generation}) == len(changes) + 1


def test_the_order_of_the_events_leaves_the_files_alone(tmp_path: Path):
    a, b = Home(tmp_path / "a"), Home(tmp_path / "b")
    write(a, some_events())
    write(b, {name: list(reversed(part)) for name, part in some_events().items()})
    assert [stored(a, name) for name in SCHEMAS] == [stored(b, name) for name in SCHEMAS]


def test_another_time_zone_is_another_generation(tmp_path: Path):
    zones = ("Europe/London", "Asia/Shanghai")
    assert len({write(Home(tmp_path / zone), some_events(), zone) for zone in zones}) == 2


def test_keys_go_by_first_appearance_and_are_kept(full: Home):
    first: dict[str, datetime] = {}
    for rows in some_events().values():
        for customer, moment, *_ in rows:
            first[customer] = min(moment, first.get(customer, moment))
    table = Identity(full).table()
    expected = sorted(first, key=lambda customer: (first[customer], customer))
    assert table["customer_id"].to_pylist() == expected
    assert table["customer_key"].to_pylist() == list(range(1, len(expected) + 1))

    before = Identity(full).keys(expected)
    write(full, some_events(seed=2, customers=80))
    after = Identity(full).keys([f"id-{i}" for i in range(80)])
    assert before.items() <= after.items()
    assert sorted(after.values()) == list(range(1, len(after) + 1))


def test_writing_replaces_everything(full: Home):
    some = {name: part[:20] for name, part in some_events(seed=3).items()}
    write(full, some, note="second")
    assert lake.metadata(full).record["note"] == "second"
    assert [len(stored(full, name)) for name in SCHEMAS] == [len(some[name]) for name in SCHEMAS]
    assert sorted(p.name for p in full.path.iterdir()) == ["events", "home.id", "patron.db"]


@pytest.mark.parametrize("at", ["refunds", "traits"])
def test_a_source_that_fails_leaves_the_old_lake(full: Home, at: str):
    before, named = visible(full), Identity(full).table()
    connection = holding(some_events(seed=5, customers=90))
    connection.execute(f"ALTER TABLE {at} RENAME COLUMN {'amount' if at == 'refunds' else 'value'} TO gone")
    with pytest.raises(duckdb.Error):
        lake.write(full, connection, "Europe/London", {"source": "test"})
    assert visible(full) == before
    assert lake.metadata(full).record["note"] == "first"
    assert Identity(full).table() == named
    write(full, some_events(seed=4))  # what was left over does not matter


def test_this_version_and_the_one_before_are_kept(full: Home):
    """One that was left half-written goes with those that are older."""
    few = {name: part[:20] for name, part in some_events().items()}
    for i in range(3):
        before = lake.current(full).folder
        abandoned = before.with_name(f"v{int(before.name[1:]) + 1:06d}")
        abandoned.mkdir()
        write(full, few, note=str(i))
        assert not abandoned.exists()
        remaining = sorted(path for path in full.events.glob("v*"))
        assert remaining[-2:] == [before, lake.current(full).folder]
        assert len(remaining) <= 3
    assert sorted(path.name for path in full.path.iterdir()) == ["events", "home.id", "patron.db"]


def test_who_opened_a_lake_reads_on_while_the_next_is_written(full: Home):
    opened, before = lake.read(full, lake.connect()), visible(full)
    write(full, some_events(seed=8))
    assert visible(full) != before
    assert counted(opened) == before


@pytest.mark.parametrize("stage", ["replace", "fsync"])
def test_a_crash_at_any_step_leaves_one_of_the_two(full: Home, stage: str, monkeypatch: pytest.MonkeyPatch):
    survived, old = 0, visible(full)
    real, rows = getattr(os, stage), {name: part[:20] for name, part in some_events(seed=10).items()}
    new = Counter({name: len(part) for name, part in rows.items()})
    crashed = True
    while crashed:
        left = [survived]

        def step(*given: Any, left: list[int] = left, **named: Any) -> Any:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, stage, step)
            try:
                write(full, rows, note="second")
                crashed = False
            except KeyboardInterrupt:
                pass
        seen = visible(full)
        assert seen == old or Counter({n: sum(c.values()) for n, c in seen.items()}) == new
        if lake.metadata(full).record["note"] == "first":
            assert seen == old
        survived = 1 + 4 * survived  # there are about as many as there are files
    assert survived > 5
    assert lake.metadata(full).record["note"] == "second"


def test_a_second_writer_waits_and_is_then_told(full: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(versions, "PATIENCE_S", 0.1)
    before = visible(full)
    with versions.writing(full), pytest.raises(PatronError, match="are being written by another command"):
        write(full, some_events(seed=2))
    assert visible(full) == before
    write(full, some_events(seed=2))


@pytest.mark.parametrize("source", ["simulate", "online-retail"])
def test_a_home_of_an_earlier_release_is_refused_until_it_is_replaced(full: Home, source: str):
    record = lake.metadata(full).record
    folder = lake.current(full).folder
    for path in folder.iterdir():
        path.rename(full.events / path.name)
    folder.rmdir()
    given_value = {n: v for n, v in record.items() if n not in ("version", "before", "compacted_seq")}
    (full.events / "import.json").write_text(json.dumps(given_value | {"source": source}))
    (full.path / "identity.db").write_bytes(b"ids")
    command = "patron simulate" if source == "simulate" else "patron import FILE --as"
    for ask in (lake.metadata, lambda home: lake.read(home, lake.connect())):
        with pytest.raises(PatronError, match=f"earlier release of Patron.*`{command}.*--replace`"):
            ask(full)
    assert lake.exists(full)
    write(full, some_events(seed=2))
    assert sorted(path.name for path in full.path.iterdir()) == ["events", "home.id", "patron.db"]
    assert {path.name for path in full.events.iterdir()} == {"import.json", "writing.lock", "v000001"}


def damage(kind: str) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:-40] + bytes(byte ^ 255 for byte in content[-40:]))

    return {
        "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        "emptied": lambda p: p.write_bytes(b""),
        "not parquet": lambda p: p.write_text("a,b,c\n" * 1000),
        "flipped": flip,
        "deleted": lambda p: p.unlink(),
    }[kind]


@pytest.mark.parametrize("kind", ["truncated", "emptied", "not parquet", "flipped", "deleted"])
@pytest.mark.parametrize("bucket", [0, 9])
def test_a_damaged_file_is_an_error_that_names_its_table(full: Home, kind: str, bucket: int):
    damage(kind)(lake.current(full).folder / "refunds" / f"bucket={bucket:02d}" / "part-0.parquet")
    with pytest.raises(PatronError, match=r"table .*refunds .*--replace"):
        lake.read(full, lake.connect())


def test_a_damaged_description_is_an_error_that_names_it(full: Home):
    (full.events / "import.json").write_text('{"source": "te')
    with pytest.raises(PatronError, match=r"import\.json is damaged"):
        lake.metadata(full)


def test_without_events_the_way_to_some_is_said(home: Home):
    assert not lake.exists(home)
    for ask in (lake.metadata, lambda h: lake.read(h, lake.connect())):
        with pytest.raises(NothingThere, match="run `patron simulate` or `patron import FILE`"):
            ask(home)
    assert not home.path.exists()


def test_what_a_source_set_aside_and_knows_to_be_true_is_kept_without_customers(home: Home):
    connection = holding(some_events())
    connection.execute("CREATE TABLE set_aside AS SELECT 7 AS row_number, 'odd' AS reason")
    connection.execute("CREATE TABLE truth AS SELECT customer_id, 0.5 AS rate FROM traits GROUP BY 1")
    lake.write(home, connection, "UTC", {"source": "test"})
    assert pq.read_table(lake.current(home).folder / "set_aside.parquet").to_pylist() == [
        {"row_number": 7, "reason": "odd"}
    ]
    truth = pq.read_table(lake.current(home).folder / "truth.parquet")
    assert truth.column_names == ["customer_key", "rate"]
    ids = {row[0] for row in some_events()["traits"]}
    assert set(truth["customer_key"].to_pylist()) == set(Identity(home).keys(list(ids)).values())


def test_progress_is_told_for_every_table(home: Home):
    given_value: list[tuple[str, float]] = []
    lake.write(
        home,
        holding(some_events()),
        "UTC",
        {"source": "test"},
        lambda message, share: given_value.append((message, share)),
    )
    assert [message for message, _ in given_value] == [
        f"writing {name.replace('_', ' ')}" for name in SCHEMAS
    ]
    assert given_value[-1][1] == 1


# Who is who


def test_ids_are_found_however_many_are_asked_for(home: Home):
    home.path.mkdir()
    identity = Identity(home)
    ids = [f"customer {i}" for i in range(1201)]
    identity.assign(ids)
    assert identity.keys([*ids, "nobody"]) == {name: i + 1 for i, name in enumerate(ids)}
    assert identity.keys([]) == {}


def test_ids_are_compared_as_they_are_written(home: Home):
    home.path.mkdir()
    odd = ["a", "A", " a", "a ", "ä", "客户", "'; DROP TABLE customers; --", ""]
    identity = Identity(home)
    identity.assign(odd)
    identity.assign(odd)
    assert identity.keys(odd) == {name: i + 1 for i, name in enumerate(odd)}


def test_without_customers_or_with_a_damaged_table_a_person_is_told(home: Home):
    identity = Identity(home)
    with pytest.raises(NothingThere, match="import or simulate"):
        identity.keys(["a"])
    assert not home.path.exists()
    home.path.mkdir()
    home.database_file.write_bytes(b"no database at all" * 500)
    with pytest.raises(PatronError, match=r"the database .*patron\.db cannot be used: .*; restore it"):
        identity.table()
