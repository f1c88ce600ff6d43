"""The online store: the packed cell, its two places, and Feast's interface over them."""

from __future__ import annotations

import os
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import feast
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import redis
from feast import types
from feast.data_source import PushMode
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.repo_config import RegistryConfig
from hypothesis import given
from hypothesis import strategies as st

from core import home_id
from core.calendar import micros
from core.errors import NothingThere, PatronError
from core.home import Home
from core.home_id import AnotherHome
from core.settings import FeatureSettings
from features.catalogue.plugin import PackedOnlineStoreConfig
from features.catalogue.store import Store
from features.groups import FEATURES, GROUPS
from features.offline.snapshot_set import SnapshotSet
from features.online import columns
from features.online.cells import CellStore
from features.online.open import open_cells
from features.online.packed import CellLayout, Field, LayoutMismatch, Selection, decode, encode

ALL = list(FEATURES)
NOW = 10**15
TYPES = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}


@pytest.fixture(params=["sqlite", "redis"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for cells, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "online.db")
    actual: str = request.getfixturevalue("redis_address")
    empty(actual)
    return actual


def empty(address: str) -> None:
    """Empty a Redis database, whichever home filled it."""
    with redis.Redis.from_url(address) as client:
        client.flushdb()


# The cell


def table(layout: CellLayout, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(layout.fields)
    return pa.table(
        {f.name: pa.array(c, TYPES[f.dtype]) for f, c in zip(layout.fields, columns, strict=True)}
    )


def pack(layout: CellLayout, rows: list[tuple[Any, ...]], at: int = 5) -> list[bytes]:
    return encode(layout, table(layout, rows), np.full(len(rows), at, np.int64))


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


ANY = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(width=64),
    "string": st.text(st.characters(exclude_categories=("Cs",))) | st.text(min_size=200, max_size=300),
    "boolean": st.booleans(),
}


@st.composite
def packed(draw: st.DrawFn) -> tuple[CellLayout, list[tuple[Any, ...]]]:
    dtypes = draw(st.lists(st.sampled_from(list(ANY)), min_size=1, max_size=12))
    if draw(st.booleans()):
        dtypes *= 11  # more features than a word has bits
    layout = CellLayout("any", tuple(Field(f"f{i}", dtype, "d") for i, dtype in enumerate(dtypes)))
    row = st.tuples(*(st.none() | ANY[dtype] for dtype in dtypes))
    return layout, draw(st.lists(row, max_size=4))


@given(packed(), st.data())
def test_whatever_is_packed_comes_back_bit_by_bit(
    given_rows: tuple[CellLayout, list[tuple[Any, ...]]], data: st.DataObject
):
    layout, rows = given_rows
    cells: list[bytes | None] = list(pack(layout, rows))
    gaps = data.draw(st.lists(st.integers(0, len(cells)), max_size=2))
    expected: list[tuple[Any, ...] | None] = list(rows)
    for gap in gaps:
        cells.insert(gap, None)
        expected.insert(gap, None)
    names = data.draw(st.permutations([f.name for f in layout.fields]))[:5]
    actual = decode(Selection(layout, names), cells)
    assert list(actual.values) == names
    for name in names:
        i = layout.place[name]
        assert [bits(v) for v in actual.values[name]] == [bits(r and r[i]) for r in expected]
    assert actual.as_of == [r and 5 for r in expected]
    listed = columns.decode_lists(Selection(layout, names), cells)
    assert list(listed.values) == names
    for name in names:
        assert [bits(v) for v in listed.values[name]] == [bits(v) for v in actual.values[name]]
    assert listed.as_of == actual.as_of
    at_once = columns.decode(Selection(layout, names), cells)
    assert list(at_once.values) == names
    for name in names:
        assert at_once.values[name].type == TYPES[next(f.dtype for f in layout.fields if f.name == name)]
        given_value = at_once.values[name].to_pylist()
        assert [bits(v) for v in given_value] == [bits(v) for v in actual.values[name]]
    assert at_once.as_of.to_pylist() == list(actual.as_of)


def test_a_nan_is_not_a_null():
    layout = CellLayout("v", (Field("x", "float64", ""),))
    nan, null = decode(Selection(layout, ["x"]), [*pack(layout, [(float("nan"),), (None,)])]).values["x"]
    assert nan != nan
    assert null is None


KNOWN = CellLayout("v", (Field("a", "int64", "1"), Field("b", "string", "2"), Field("c", "boolean", "3")))


def test_the_format_changes_only_with_its_number():
    """Cells of this format lie in stores: who changes it gives it another number."""
    (cell,) = pack(KNOWN, [(-2, "é", None)], at=1)
    layout, as_of, reserved, nulls = "6328d4e97a24e219", f"{1:016x}", "0" * 16, "04" + "0" * 14
    minus_two, end, nothing = "fe" + "f" * 14, "02" + "0" * 14, "0" * 16
    assert cell.hex() == layout + as_of + reserved + nulls + minus_two + end + nothing + "c3a9"


@pytest.mark.parametrize("count", [1, 3])
def test_cells_of_earlier_versions_which_wrote_a_moment_into_the_reserved_word_are_read_alike(count: int):
    cells = pack(KNOWN, [(-2, "é", None), (3, None, True), (None, "z", False)][:count])
    next_midnight = micros(datetime(2024, 7, 1, 22, tzinfo=UTC)).to_bytes(8, "little")
    earlier = [cell[:16] + next_midnight + cell[24:] for cell in cells]
    selection = Selection(KNOWN, ["a", "b", "c"])
    assert decode(selection, earlier) == decode(selection, cells)
    assert columns.decode_lists(selection, earlier) == columns.decode_lists(selection, cells)
    assert columns.decode(selection, earlier) == columns.decode(selection, cells)


@pytest.mark.parametrize(
    "other",
    [
        CellLayout("w", KNOWN.fields),
        CellLayout("v", KNOWN.fields[:2]),
        CellLayout("v", (*KNOWN.fields[:2], Field("d", "boolean", "3"))),
        CellLayout("v", (*KNOWN.fields[:2], Field("c", "int64", "3"))),
        CellLayout("v", (*KNOWN.fields[:2], Field("c", "boolean", "4"))),
        CellLayout("v", KNOWN.fields[::-1]),
    ],
)
def test_a_cell_of_another_layout_is_not_read(other: CellLayout):
    row = tuple({"int64": 1, "string": "x", "boolean": True}[f.dtype] for f in other.fields)
    cells = [*pack(KNOWN, [(1, "x", True)]), None, *pack(other, [row])]
    with pytest.raises(LayoutMismatch, match="v"):
        decode(Selection(KNOWN, ["a"]), cells)
    with pytest.raises(LayoutMismatch, match="v"):
        columns.decode(Selection(KNOWN, ["a"]), cells)


def test_a_type_that_cells_do_not_hold_is_named():
    with pytest.raises(PatronError, match=r"cannot hold v\.x; a feature is int64, float64, string, bool"):
        CellLayout("v", (Field("x", "Array(Int64)", ""),))


# The places

ONE, TWO = CellLayout("one", (Field("x", "int64", ""),)), CellLayout("two", (Field("y", "string", ""),))


def prepared(address: str) -> CellStore:
    place = open_cells(address)
    place.prepare([ONE, TWO])
    return place


def stored_moments(place: CellStore, keys: list[int]) -> list[int | None]:
    (cells,) = place.read(keys, ["one"])
    actual: list[int | None] = decode(Selection(ONE, ["x"]), cells).values["x"]
    return actual


def test_cells_come_back_in_the_order_asked_for_and_as_often(address: str):
    place, keys = prepared(address), list(range(1, 1202))
    one, two = pack(ONE, [(key,) for key in keys]), pack(TWO, [(str(key),) for key in keys])
    place.write(keys, {"one": one, "two": two}, NOW)
    place.write([7, -3], {"two": pack(TWO, [("seven",), ("minus",)])}, NOW)
    request_value = [1201, 7, -3, 10**12, 7]
    cells = place.read(request_value, ["two", "one"])
    assert cells[1] == [one[1200], one[6], None, None, one[6]]
    assert decode(Selection(TWO, ["y"]), cells[0]).values["y"] == ["1201", "seven", "minus", None, "seven"]
    assert place.read([], ["one", "two"]) == [[], []]
    in_a_row = list(range(-4, 10))
    alone = [place.read([key], ["two", "one"]) for key in in_a_row]
    together = place.read(in_a_row, ["two", "one"])
    assert together == [[cells[i][0] for cells in alone] for i in range(2)]
    assert sorted(place.keys()) == [-3, *keys]
    assert open_cells(address).read([7], ["one"]) == [[one[6]]]


def test_an_older_cell_does_not_take_the_place_of_a_newer_one(address: str):
    place = prepared(address)
    for at, x in ((100, 1), (99, 2), (100, 3), (101, 4), (70, 5)):
        place.write([8], {"one": pack(ONE, [(x,)], at)}, NOW)
    assert stored_moments(place, [8]) == [4]
    place.write([8], {"one": pack(ONE, [(6,)], 99), "two": pack(TWO, [("z",)], 99)}, NOW)
    assert stored_moments(place, [8]) == [4]
    assert place.read([8], ["two"]) == [pack(TWO, [("z",)], 99)]


def test_a_cell_from_after_the_present_was_of_another_clock_and_gives_way(address: str):
    place = prepared(address)
    place.write([8], {"one": pack(ONE, [(1,)], 500)}, NOW)
    place.write([8], {"one": pack(ONE, [(2,)], 400)}, 499)
    assert stored_moments(place, [8]) == [2]


def test_a_cell_of_other_definitions_gives_way_and_is_cleared_when_views_are_prepared(address: str):
    place = prepared(address)
    changed = CellLayout("one", (Field("x", "int64", "changed"),))
    place.write([1, 2], {"one": pack(ONE, [(1,), (2,)], 50), "two": pack(TWO, [("a",), ("b",)])}, NOW)
    place.write([1], {"one": pack(changed, [(3,)], 40)}, NOW)
    assert place.read([1], ["one"]) == [pack(changed, [(3,)], 40)]
    place.prepare([ONE, TWO])  # nothing new: nothing is cleared
    assert stored_moments(place, [2]) == [2]
    place.prepare([changed])
    assert place.read([1, 2], ["one"]) == [[None, None]]
    assert place.read([1, 2], ["two"]) == [pack(TWO, [("a",), ("b",)])]


def test_a_view_is_dropped_with_its_cells(address: str):
    place = prepared(address)
    place.write([1], {"one": pack(ONE, [(1,)]), "two": pack(TWO, [("a",)])}, NOW)
    place.drop(["one", "never there"])
    assert place.read([1], ["two"]) == [pack(TWO, [("a",)])]
    place.prepare([ONE])
    assert place.read([1], ["one"]) == [[None]]


def test_one_customer_is_erased(address: str):
    place = prepared(address)
    for song in ("canary-bird", "canary", "canary-bird-song"):
        place.write([1, 2], {"two": pack(TWO, [(song * 20,), ("b",)])}, NOW)
    place.delete([1, 99])
    assert place.read([1, 2], ["two"]) == [[None, *pack(TWO, [("b",)])]]
    assert place.keys() == [2]
    if not address.startswith("redis"):
        assert not any(b"canary" in path.read_bytes() for path in Path(address).parent.iterdir())


def test_where_nothing_was_written_it_says_what_to_do(address: str):
    place = open_cells(address)
    for ask in (lambda: place.read([1], ["one"]), place.keys):
        with pytest.raises(NothingThere, match=r"the online store .*; run `patron build`"):
            ask()
    prepared(address).clear()
    with pytest.raises(NothingThere):
        place.read([1], ["one"])


def test_readers_see_whole_rows_while_a_writer_writes(address: str):
    place, keys, stop = prepared(address), list(range(40)), threading.Event()
    wrong: list[Any] = []

    def write(round_: int) -> None:
        one, two = pack(ONE, [(round_,)] * 40, round_), pack(TWO, [(str(round_),)] * 40, round_)
        place.write(keys, {"one": one, "two": two}, NOW)

    def read() -> None:
        last = 0
        try:
            while not stop.is_set():
                one, two = place.read(keys, ["one", "two"])
                x, y = (
                    decode(Selection(ONE, ["x"]), one).values["x"],
                    decode(Selection(TWO, ["y"]), two).values["y"],
                )
                if [str(value) for value in x] != y or min(x) < last:
                    wrong.append((x, y))
                last = max(x)
        except Exception as error:
            wrong.append(error)

    write(1)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for round_ in range(2, 40):
        write(round_)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert stored_moments(place, keys) == [39] * 40


def test_another_file_in_the_old_ones_place_is_read(tmp_path: Path):
    path, other = tmp_path / "online.db", tmp_path / "other.db"
    place = prepared(str(path))
    place.write([1], {"one": pack(ONE, [(1,)])}, NOW)
    assert stored_moments(place, [1]) == [1]
    prepared(str(other)).write([1], {"one": pack(ONE, [(2,)])}, NOW)
    os.replace(other, path)
    assert stored_moments(place, [1]) == [2]


def test_a_file_of_another_kind_is_refused_and_made_anew(tmp_path: Path):
    path = tmp_path / "online.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE patron_one (entity_key BLOB, value BLOB)")
    connection.close()
    with pytest.raises(PatronError, match=r"cannot be read .*; run `patron build`"):
        open_cells(str(path)).read([1], ["one"])
    place = prepared(str(path))
    place.write([1], {"one": pack(ONE, [(1,)])}, NOW)
    assert stored_moments(place, [1]) == [1]
    with pytest.raises(PatronError, match="no such column"):
        place.read([1], ["never there"])


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(PatronError, match="cannot be a postgresql address; set PATRON_ONLINE_STORE to redis"):
        open_cells("postgresql://me:secret@somewhere/db")


def test_a_redis_that_does_not_answer_is_an_error_without_its_password(redis_address: str):
    with socket.socket() as free:  # bound and not listening, so nobody answers
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        place = open_cells(f"redis://me:secret@127.0.0.1:{port}/3")
        with pytest.raises(PatronError, match=rf"store redis://127\.0\.0\.1:{port}/3 cannot be read") as text:
            place.read([1], ["one"])
    assert "secret" not in str(text.value)


# Feast's interface, and the store


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def store(
    request: pytest.FixtureRequest,
    built_shop: Home,
    built: SnapshotSet,
    copy_trained: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Store:
    """A store over a copy of the built shop, filled as `patron build` does it."""
    home = copy_trained(built_shop, tmp_path_factory.mktemp("online") / "home")
    address = request.getfixturevalue("redis_address") if request.param == "redis" else None
    if address:
        address = address.replace("/0", "/1")
        empty(address)
    store = Store(home, FeatureSettings(online_store=address))
    store.apply(GROUPS, built.folders)
    fill(store, built)
    return store


def fill(store: Store, built: SnapshotSet) -> None:
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})


@pytest.fixture
def changed(store: Store, built: SnapshotSet) -> Iterator[Store]:
    """The store, for a test to change; it is filled anew afterwards."""
    yield store
    store.forget(store.online.keys())
    fill(store, built)


def by_sdk(store: Store, keys: list[int]) -> tuple[dict[str, list[Any]], Any]:
    references = [f"{group.name}:{name}" for group in GROUPS for name in group.features]
    response = store._feast.get_online_features(references, [{"customer_key": key} for key in keys])
    return response.to_dict(), response.proto


@pytest.fixture(scope="module")
def expected(built: SnapshotSet) -> pd.DataFrame:
    """Everyone's features of the present snapshot, by key; None where missing."""
    tables = [built.table(group, built.current).drop(["as_of", "created_at"]) for group in GROUPS]
    frames = [t.to_pandas(types_mapper=pd.ArrowDtype).set_index("customer_key") for t in tables]
    joined = pd.concat(frames, axis=1).astype(object)
    return joined.where(joined.notna(), None)


def test_the_sdk_the_hot_path_and_the_snapshot_agree_in_every_feature(
    store: Store, expected: pd.DataFrame, built: SnapshotSet
):
    keys = expected.index.tolist()
    hot, (sdk, proto) = store.reader(ALL)(keys), by_sdk(store, keys)
    for name in ALL:
        assert hot.values[name] == sdk[name] == expected[name].tolist(), name
    assert set(hot.as_of) == {built.current}
    for result in proto.results[1:]:
        assert {stamp.ToDatetime(UTC) for stamp in result.event_timestamps} == {built.current}


def test_by_the_sdk_someone_unknown_is_not_found(store: Store, expected: pd.DataFrame):
    values, proto = by_sdk(store, [10**12, int(expected.index[0])])
    assert all(values[name][0] is None for name in ALL)
    statuses = {tuple(result.statuses) for result in proto.results[1:]}
    assert statuses == {(FieldStatus.NOT_FOUND, FieldStatus.PRESENT)}


def test_what_the_sdk_writes_and_materialises_is_what_the_store_writes(
    changed: Store, built: SnapshotSet, expected: pd.DataFrame
):
    keys = expected.index.tolist()
    before = changed.online.read(keys, [group.name for group in GROUPS])
    hot = changed.reader(ALL)(keys)

    def same() -> bool:
        return changed.reader(ALL)(keys) == hot

    changed.forget(keys)
    assert set(changed.reader(ALL)(keys).as_of) == {None}
    for group in GROUPS:
        changed._feast.write_to_online_store(group.name, built.frame(group, built.current))
    assert same()
    changed.forget(keys)
    changed._feast.materialize(built.current - timedelta(days=1), built.current + timedelta(days=1))
    assert same()
    fill(changed, built)
    assert changed.online.read(keys, [group.name for group in GROUPS]) == before


def test_whoever_is_in_no_snapshot_is_erased_unless_news_came_after(
    changed: Store, built: SnapshotSet, expected: pd.DataFrame
):
    group, keys = GROUPS[0], expected.index.tolist()
    table = built.table(group, built.current)
    earlier = pa.array([built.current - timedelta(days=1)], pa.timestamp("us", "UTC"))
    gone = table.slice(0, 1).set_column(0, "customer_key", pa.array([10**9]))
    gone = gone.set_column(1, "as_of", earlier)
    changed.write_online({group.name: gone})
    assert set(changed.online.keys()) > {10**9}
    past = {g.name: _at(built.table(g, built.current), built.current - timedelta(hours=1)) for g in GROUPS}
    changed.fill_online({name: rows.slice(1) for name, rows in past.items()})
    assert sorted(changed.online.keys()) == sorted(keys)  # who was written later than the snapshots stays
    assert set(changed.reader(ALL)(keys).as_of) == {built.current}


def test_news_of_the_present_second_is_not_undone_by_an_older_batch(
    changed: Store, built: SnapshotSet, expected: pd.DataFrame
):
    """The shop's clock is to the second, and an event's is not."""
    group, key = GROUPS[0], int(expected.index[0])
    now, table = built.current + timedelta(microseconds=900_000), built.table(GROUPS[0], built.current)
    changed.write_online({group.name: _at(table.slice(0, 1), now)})
    fill(changed, built)
    assert changed.reader([next(iter(group.features))])([key]).as_of == [now]


def _at(table: pa.Table, moment: datetime) -> pa.Table:
    return table.set_column(1, "as_of", pa.array([moment] * table.num_rows, pa.timestamp("us", "UTC")))


def test_rows_of_other_definitions_are_refused_and_a_build_mends_them(
    changed: Store, built: SnapshotSet, expected: pd.DataFrame
):
    key, layout = int(expected.index[0]), changed.layouts()["price"]
    other = CellLayout("price", tuple(Field(f.name, f.dtype, "of yesterday") for f in layout.fields))
    rows = built.table(GROUPS[1], built.current).slice(0, 1)
    at = np.array([micros(built.current)])
    changed.online.write([key], {"price": encode(other, rows, at)}, micros(built.current))
    refused = r"has price, written by other definitions than the reader's; run `patron build`"
    with pytest.raises(PatronError, match=refused):
        changed.reader(ALL)([key])
    with pytest.raises(PatronError, match=refused):
        by_sdk(changed, [key])
    assert changed.reader(["orders_total"])([key]).as_of == [built.current]
    fill(changed, built)
    assert changed.reader(ALL)([key]).values["country"] == [expected["country"].iloc[0]]


def test_the_store_of_the_settings_is_the_one_that_is_read(
    redis_address: str, built_shop: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATRON_ONLINE_STORE", redis_address)
    empty(redis_address)
    with pytest.raises(NothingThere, match=r"the online store redis://127\.0\.0\.1:\d+/0 is empty"):
        Store(built_shop).reader(["orders_total"])([1])
    monkeypatch.delenv("PATRON_ONLINE_STORE")
    assert Store(built_shop).reader(["orders_total"])([1]).as_of != [None]


# Two homes over one store

LAYOUTS = [CellLayout("one", (Field("x", "float64", "d"),))]


def of(address: str, home: Home) -> CellStore:
    return open_cells(address, owner=partial(home_id.read, home))


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Home, Home]:
    """Two homes with ids of their own."""
    both = Home(tmp_path / "first"), Home(tmp_path / "second")
    for home in both:
        home_id.write(home, home_id.new())
    return both


USES: dict[str, Callable[[CellStore], object]] = {
    "prepare": lambda store: store.prepare(LAYOUTS),
    "write": lambda store: store.write([1], {"one": [b"x" * 16]}, NOW),
    "read": lambda store: store.read([1], ["one"]),
    "delete": lambda store: store.delete([1]),
    "keys": lambda store: store.keys(),
    "drop": lambda store: store.drop(["one"]),
    "clear": lambda store: store.clear(),
}


@pytest.mark.parametrize("use", USES)
def test_a_store_of_another_home_is_refused_and_stays_as_it_is(
    use: str, address: str, homes: tuple[Home, Home]
) -> None:
    first, second = (of(address, home) for home in homes)
    first.prepare(LAYOUTS)
    cell = pack(LAYOUTS[0], [(1.5,)])
    first.write([1], {"one": cell}, NOW)
    for _ in range(2):
        with pytest.raises(AnotherHome, match=r"belongs to another home .* nothing was changed"):
            USES[use](second)
    with pytest.raises(AnotherHome):  # as a home without an id
        USES[use](open_cells(address))
    assert first.read([1], ["one"]) == [cell]
    assert first.owner() == home_id.read(homes[0]).id  # type: ignore[union-attr]


def test_rows_of_an_earlier_release_are_read_by_the_home_that_has_them(
    address: str, homes: tuple[Home, Home]
) -> None:
    earlier, (adopted, born) = open_cells(address), homes
    earlier.prepare(LAYOUTS)
    cell = pack(LAYOUTS[0], [(1.5,)])
    earlier.write([1], {"one": cell}, NOW)
    home_id.write(adopted, home_id.new(adopted=True))
    with pytest.raises(AnotherHome, match="data of a home without an id"):
        of(address, born).prepare(LAYOUTS)
    assert of(address, adopted).read([1], ["one"]) == [cell]
    of(address, adopted).prepare(LAYOUTS)
    assert of(address, adopted).read([1], ["one"]) == [cell]
    with pytest.raises(AnotherHome, match="belongs to another home"):
        of(address, born).read([1], ["one"])


def test_features_from_before_a_restore_are_not_read(address: str, homes: tuple[Home, Home]) -> None:
    home, own = homes[0], home_id.read(homes[0])
    assert own is not None
    running = of(address, home)
    running.prepare(LAYOUTS)
    running.write([1], {"one": pack(LAYOUTS[0], [(1.5,)])}, NOW)
    home_id.write(home, replace(own, restored="once"))
    restored = of(address, home)
    for use in ("read", "write", "keys"):
        with pytest.raises(NothingThere, match="from before the home was restored"):
            USES[use](restored)
    restored.prepare(LAYOUTS)
    assert restored.keys() == []
    assert restored.read([1], ["one"]) == [[None]]


# Feast alone, without a shop


@pytest.fixture
def plain(address: str, tmp_path: Path) -> feast.FeatureStore:
    """A Feast repository of one view with a push source, over our online store."""
    entity = feast.Entity(name="driver", join_keys=["driver"], value_type=feast.ValueType.INT64)
    path = tmp_path / "rows.parquet"
    frame(1).to_parquet(path)
    source = feast.PushSource(
        name="pushed", batch_source=feast.FileSource(name="rows", path=str(path), timestamp_field="at")
    )
    fields = {"n": types.Int64, "x": types.Float64, "s": types.String, "b": types.Bool}
    schema = [feast.Field(name=name, dtype=dtype) for name, dtype in fields.items()]
    store = feast.FeatureStore(
        config=feast.RepoConfig(
            project="plain", provider="local", registry=RegistryConfig(path=str(tmp_path / "registry.db")),
            offline_store=DuckDBOfflineStoreConfig(), online_store=PackedOnlineStoreConfig(address=address),
            entity_key_serialization_version=3, repo_path=tmp_path,
        )
    )  # fmt: skip
    store.apply([entity, feast.FeatureView(name="stats", entities=[entity], schema=schema, source=source)])
    return store


def frame(n: int, at: datetime = datetime(2024, 5, 1, 12, 30, 0, 123456, UTC)) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver": [1, 2],
            "at": [at, at],
            "n": pd.array([n, None], "Int64"),
            "x": [-0.0, None],
            "s": ["雪 " * 100, None],
            "b": pd.array([True, None], "boolean"),
        }
    )


def test_feast_pushes_reads_and_tears_down(plain: feast.FeatureStore, address: str):
    references = [f"stats:{name}" for name in ("n", "x", "s", "b")]

    def read() -> dict[str, list[Any]]:
        rows = [{"driver": key} for key in (2, 1, 3)]
        actual: dict[str, list[Any]] = plain.get_online_features(references, rows).to_dict()
        return actual

    first = datetime(2024, 5, 1, 12, 30, 0, 123456, UTC)
    plain.push("pushed", frame(2**62), to=PushMode.ONLINE)
    assert read() == {
        "driver": [2, 1, 3],
        "n": [None, 2**62, None],
        "x": [None, -0.0, None],
        "s": [None, "雪 " * 100, None],
        "b": [None, True, None],
    }
    response = plain.get_online_features(references, [{"driver": 1}])
    assert response.proto.results[1].event_timestamps[0].ToDatetime(UTC) == first
    plain.push("pushed", frame(7, first - timedelta(microseconds=1)), to=PushMode.ONLINE)
    assert read()["n"] == [None, 2**62, None]
    plain.push("pushed", frame(8, first + timedelta(microseconds=1)), to=PushMode.ONLINE)
    assert read()["n"] == [None, 8, None]
    plain.teardown()
    with pytest.raises(NothingThere):
        open_cells(address).read([1], ["stats"])


def test_a_view_that_is_deleted_leaves_no_rows(plain: feast.FeatureStore, address: str):
    plain.push("pushed", frame(1), to=PushMode.ONLINE)
    plain.apply([], objects_to_delete=[plain.get_feature_view("stats")], partial=False)
    place = open_cells(address)
    place.prepare([CellLayout("stats", ())])
    assert place.read([1], ["stats"]) == [[None]]


def test_rows_by_anything_but_one_integer_are_refused(plain: feast.FeatureStore):
    with pytest.raises((PatronError, TypeError, ValueError)):
        plain.get_online_features(["stats:n"], [{"driver": "text"}])
