"""Importing a file of orders: every row is accounted for, and a bad file changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import EPOCH
from core.errors import NothingThere, PatronError
from core.home import Home
from events import lake
from events.files import imports, mapping, rejected_rows
from events.files.row_counts import RowCounts
from events.identity import Identity
from events.lake import shops
from events.lake.refunds import match_refunds
from events.simulation import simulated_shop
from features.groups import GROUPS
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet

LONDON = ZoneInfo("Europe/London")
RETAIL = mapping.load("online-retail").orders
assert RETAIL is not None
assert RETAIL.adjustments is not None
COLUMNS, ADJUSTMENTS = RETAIL.columns(), RETAIL.adjustments.one_of
ANN, BOB = 7001001001, 7001001002  # long numbers, so that no other column can hold them by chance

Writer = Callable[..., Path]


def at(*when: int) -> datetime:
    """A local time of the shop, as the file holds it."""
    return datetime(*when)  # type: ignore[misc, arg-type]  # noqa: DTZ001


NOON = at(2010, 12, 1, 12)
SALE = ("536365", "22423", 2, NOON, 3.5, ANN)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def load(home: Home, path: Path, **options: Any) -> dict[str, Any]:
    return imports.import_file(home, str(path), "online-retail", **{"allow_rejects": True} | options)


def events(home: Home, name: str) -> list[dict[str, Any]]:
    """A table's events in order of time, with the customers' own ids."""
    ids = Identity(home).table()
    names = dict(zip(ids["customer_key"].to_pylist(), ids["customer_id"].to_pylist(), strict=True))
    backend = lake.connect()
    table = dict(lake.read(home, backend).items())[name]
    rows = backend.to_pyarrow(table.order_by(table.columns[1:])).to_pylist()
    return [row | {"customer": int(names[row["customer_key"]])} for row in rows]


def contents(home: Home) -> dict[str, bytes]:
    return {str(p.relative_to(home.path)): p.read_bytes() for p in home.path.rglob("*") if p.is_file()}


# Every row is kept or set aside, for the first reason that applies

REASONS = {
    "unreadable": [
        (None, "22423", 1, NOON, 1.0, ANN),
        ("1", None, 1, NOON, 1.0, ANN),
        ("1", "22423", None, NOON, 1.0, ANN),
        ("1", "22423", 1, None, 1.0, ANN),
        ("1", "22423", 1, NOON, None, ANN),
        ("1", "22423", 1, NOON, float("nan"), ANN),
        ("1", "22423", 1, NOON, float("inf"), ANN),
        ("1", "22423", 1, NOON, -float("inf"), ANN),
        ("1", "22423", 1, NOON, 1e300, ANN),
        ("1", "22423", 2**62, NOON, 1.0, ANN),
        ("1", "22423", -(2**63), NOON, 1.0, ANN),
        ("1", "22423", 10**9, NOON, 1e9, ANN),
        ("1", "22423", 1, at(1, 1, 1), 1.0, ANN),
        ("1", "22423", 1, at(9999, 12, 31), 1.0, ANN),
        (None, "22423", 1, NOON, -1.0, None),
    ],
    "no_customer": [
        ("1", "22423", 1, NOON, 1.0, None),
        ("1", "M", 0, NOON, 0.0, None),
    ],
    "price_not_positive": [
        ("1", "22423", 1, NOON, 0.0, ANN),
        ("1", "22423", 1, NOON, -5.0, ANN),
        ("1", "B", -1, NOON, -5.0, ANN),
    ],
    "adjustment": [
        *(("1", code, 1, NOON, 1.0, ANN) for code in ADJUSTMENTS),
        ("1", "m", 1, NOON, 1.0, ANN),
        ("C1", "D", -1, NOON, 1.0, ANN),
        ("1", "M", -1, NOON, 1.0, ANN),
    ],
    "not_a_sale": [
        ("1", "22423", -1, NOON, 1.0, ANN),
        ("1", "22423", 0, NOON, 1.0, ANN),
        ("C1", "22423", 0, NOON, 1.0, ANN),
    ],
    "duplicate": [SALE, SALE, SALE],
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_row_is_set_aside_for_its_reason(home: Home, small_retail: Writer, reason: str):
    rows = REASONS[reason]
    done = load(home, small_retail([SALE, *rows]))
    assert done["set_aside"] == {reason: len(rows)}
    assert done["kept"] == {"order_lines": 1, "refunds": 0}
    assert done["read"] == 1 + len(rows)
    columns, listed = rejected_rows.report(home, per_reason=100)
    assert columns[:2] == ["row_number", "reason"]
    assert [row[:2] for row in listed] == [(i + 2, reason) for i in range(len(rows))]


def test_all_reasons_together_add_up(home: Home, small_retail: Writer):
    rows = [SALE, *(row for rows in REASONS.values() for row in rows)]
    done = load(home, small_retail(rows))
    assert done["set_aside"] == {reason: len(rows) for reason, rows in REASONS.items()}
    assert done["read"] == len(rows) == sum(done["kept"].values()) + sum(done["set_aside"].values())
    _, listed = rejected_rows.report(home, per_reason=2)
    assert Counter(row[1] for row in listed) == dict.fromkeys(REASONS, 2)


def test_books_that_do_not_balance_are_refused():
    assert RowCounts(3, {"order_lines": 2}, {"duplicate": 1}).as_dict()["read"] == 3
    with pytest.raises(AssertionError, match="4 rows read but 3 accounted for"):
        RowCounts(4, {"order_lines": 2}, {"duplicate": 1})


def test_rows_that_differ_anywhere_are_no_duplicates(home: Home, small_retail: Writer):
    others = [
        ("536366", *SALE[1:]),
        (SALE[0], "22424", *SALE[2:]),
        (*SALE[:2], 3, *SALE[3:]),
        (*SALE[:3], NOON + timedelta(minutes=1), *SALE[4:]),
        (*SALE[:4], 3.51, ANN),
        (*SALE[:5], BOB),
        (*SALE, "TEA POT", "United Kingdom"),
        (*SALE, "HEART SIGN", "France"),
    ]
    done = load(home, small_retail([SALE, *others]))
    assert done["kept"]["order_lines"] == 1 + len(others)
    assert done["set_aside"] == {}


def test_a_line_becomes_an_event(home: Home, small_retail: Writer):
    load(home, small_retail([("536365", "22423", 3, at(2010, 7, 1, 12), 3.335, ANN)]))
    (line,) = events(home, "order_lines")
    moment = at(2010, 7, 1, 11)
    expected = {
        "customer": ANN, "customer_key": 1, "timestamp": moment, "received_at": moment,
        "day": (date(2010, 7, 1) - EPOCH).days, "order_id": "536365", "product_id": "22423",
        "category": "decoration", "quantity": 3,
    }  # fmt: skip
    assert expected.items() <= line.items()
    assert (str(line["amount"]), str(line["discount"])) == ("10.0050", "0.0000")


def test_shipping_is_kept_without_a_category(home: Home, small_retail: Writer):
    codes = ("POST", "DOT", "C2", "C3")
    load(home, small_retail([("1", code, 1, NOON, 18.0, ANN, "POSTAGE BAG", "France") for code in codes]))
    assert [line["category"] for line in events(home, "order_lines")] == [None] * 4


def test_a_category_is_read_from_the_description(home: Home, small_retail: Writer):
    expected = {
        "CHRISTMAS GIFT BAG LARGE": "christmas",  # the first that fits decides
        "JUMBO BAG RED RETROSPOT": "bags",
        "LUNCH BAGS": "bags",
        "BAGUETTE BASKET": "storage",  # whole words only
        "TEA TIME CAKE STAND": "kitchen",
        "STEAM ENGINE": "other",
        "PACK OF 6 BIRTHDAY CARDS": "stationery",
        "heart sign": "other",
        "": "other",
        None: "other",
    }
    rows = [
        (f"{i}", f"P{i}", 1, NOON, 1.0, ANN, description, "France") for i, description in enumerate(expected)
    ]
    load(home, small_retail(rows))
    categories = {line["product_id"]: line["category"] for line in events(home, "order_lines")}
    assert categories == {f"P{i}": category for i, category in enumerate(expected.values())}


def test_a_country_is_told_when_it_is_new_or_changes(home: Home, small_retail: Writer):
    def line(hour: int, customer: int, country: str | None) -> tuple[Any, ...]:
        return (f"{hour}{customer}", "22423", 1, at(2010, 12, 1, hour), 1.0, customer, "TEA", country)

    ann = ["EIRE", "EIRE", None, "EIRE", "France", "France", "EIRE"]
    rows = [line(8 + i, ANN, country) for i, country in enumerate(ann)] + [line(9, BOB, "France")]
    load(home, small_retail(reversed(rows)))
    result = [(t["timestamp"].hour, t["customer"], t["name"], t["value"]) for t in events(home, "traits")]
    assert result == [
        (8, ANN, "country", "EIRE"),
        (9, BOB, "country", "France"),
        (12, ANN, "country", "France"),
        (14, ANN, "country", "EIRE"),
    ]


def test_local_times_become_utc(home: Home, small_retail: Writer):
    times = [
        at(2010, 1, 1, 0, 0),
        at(2010, 3, 27, 23, 59),
        at(2010, 3, 28, 0, 59),
        at(2010, 3, 28, 2, 0),
        at(2010, 7, 1, 0, 30),
        at(2010, 10, 31, 0, 59),
        at(2010, 10, 31, 2, 0),
        at(2011, 2, 28, 23, 59, 59),
        at(2012, 2, 29, 23, 59, 59),
    ]
    load(home, small_retail([(f"{i}", "22423", 1, local, 1.0, ANN) for i, local in enumerate(times)]))
    lines = {line["order_id"]: line for line in events(home, "order_lines")}
    for i, local in enumerate(times):
        line = lines[f"{i}"]
        assert line["timestamp"].replace(tzinfo=UTC) == local.replace(tzinfo=LONDON).astimezone(UTC)
        assert line["day"] == (local.date() - EPOCH).days


@pytest.mark.parametrize("local", [at(2010, 3, 28, 1, 30), at(2010, 10, 31, 1, 30)])
def test_an_hour_that_is_left_out_or_comes_twice_stays_on_its_day(
    home: Home, small_retail: Writer, local: datetime
):
    load(home, small_retail([("1", "22423", 1, local, 1.0, ANN)]))
    (line,) = events(home, "order_lines")
    moment = line["timestamp"].replace(tzinfo=UTC)
    assert line["day"] == (local.date() - EPOCH).days
    assert moment in {local.replace(tzinfo=LONDON, fold=fold).astimezone(UTC) for fold in (0, 1)}


# Refunds


def refunds(home: Home) -> list[tuple[Any, ...]]:
    rows = events(home, "refunds")
    return [(r["order_id"], r["matched"], r["quantity"], float(r["amount"])) for r in rows]


def line(invoice: str, quantity: int, hour: int, product: str = "A", customer: int = ANN) -> tuple[Any, ...]:
    return (invoice, product, quantity, at(2010, 12, 1, hour), 2.0, customer)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # The latest earlier order with enough is taken, another where that has too little.
        ([line("1", 9, 8), line("2", 9, 9), line("C3", -4, 10)], ["2"]),
        ([line("1", 9, 8), line("2", 3, 9), line("C3", -4, 10)], ["1"]),
        # Several returns until nothing is left.
        ([line("1", 5, 8), line("C2", -2, 9), line("C3", -3, 10), line("C4", -1, 11)], ["1", "1", None]),
        ([line("1", 5, 8), line("2", 2, 9), *(line(f"C{h}", -2, h) for h in (10, 11, 12))], ["2", "1", "1"]),
        # Nothing earlier: the order came after, at the same time, or never.
        ([line("C1", -1, 8), line("2", 5, 9)], [None]),
        ([line("1", 5, 8), line("C2", -1, 8)], [None]),
        ([line("C1", -1, 8)], [None]),
        # Another product, another customer, more than was bought.
        ([line("1", 5, 8), line("C2", -1, 9, product="X")], [None]),
        ([line("1", 5, 8), line("C2", -1, 9, customer=BOB)], [None]),
        ([line("1", 5, 8), line("C2", -6, 9)], [None]),
        # Two lines of one invoice are taken back one by one.
        ([line("1", 3, 8), line("1", 4, 8), line("C2", -4, 9), line("C3", -3, 10)], ["1", "1"]),
        # Of orders at the same time the one of the highest number, wherever it stands in the file.
        ([line("1", 3, 8), line("2", 3, 8), line("C3", -3, 9)], ["2"]),
        ([line("2", 3, 8), line("1", 3, 8), line("C3", -3, 9)], ["2"]),
        # A return whose quantity is written without a sign.
        ([line("1", 3, 8), line("C2", 2, 9)], ["1"]),
    ],
)
def test_a_cancellation_takes_back_the_latest_earlier_order_that_can_give_it(
    home: Home, small_retail: Writer, rows: list[tuple[Any, ...]], expected: list[str | None]
):
    done = load(home, small_retail([line("0", 1, 7, product="Z"), *rows]))
    result = refunds(home)
    assert [refund[0] for refund in result] == expected
    assert [refund[1] for refund in result] == [order is not None for order in expected]
    assert done["kept"]["refunds"] == len(expected)
    assert done.get("refunds_unmatched", 0) == expected.count(None)


def test_a_refund_that_matches_nothing_counts_as_money_given_back(home: Home, small_retail: Writer):
    load(home, small_retail([line("1", 5, 8), line("C2", -2, 9), line("C3", -7, 10)]))
    assert refunds(home) == [("1", True, 2, 4.0), (None, False, 7, 14.0)]
    table_value = pd.DataFrame({"customer_id": [ANN], "as_of": ["2010-12-02"]})
    result = snapshots.snapshot(table_value, ["refunded_total", "spend_total", "refund_share"], home).iloc[0]
    assert (result["refunded_total"], result["spend_total"], result["refund_share"]) == (18.0, 10.0, 1.8)


trades = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["A", "B"]),
        st.integers(0, 6),
        st.integers(1, 5),
        st.booleans(),
    ),
    max_size=30,
)


@given(trades)
def test_no_order_gives_back_more_than_it_had(raw: list[tuple[str, str, int, int, bool]]):
    ordered = sorted(raw, key=lambda trade: trade[2])
    lines = [
        (customer, product, NOON + timedelta(hours=hour), i, "" if back else f"{i // 2}", quantity, back)
        for i, (customer, product, hour, quantity, back) in enumerate(ordered)
    ]
    result = match_refunds(lines)
    assert result.keys() == {row[3] for row in lines if row[6]}

    # Replayed: an invoice's lines may share its number, so what is left is kept by line.
    left: dict[tuple[str, str], list[list[Any]]] = defaultdict(list)
    for customer, product, time, number, invoice, quantity, back in lines:
        bought = left[customer, product]
        if not back:
            bought.append([time, invoice, quantity])
            continue
        able = [entry for entry in bought if entry[0] < time and entry[2] >= quantity]
        assert result[number] == (able[-1][1] if able else None)
        if able:
            able[-1][2] -= quantity
    assert all(entry[2] >= 0 for entries in left.values() for entry in entries)
    had = Counter[tuple[str, str, str]]()
    for customer, product, _, _, invoice, quantity, _ in lines:
        had[customer, product, invoice] += quantity
    for customer, product, _, number, _, quantity, _ in lines:
        if (order := result.get(number)) is not None:
            had[customer, product, order] -= quantity
    assert all(rest >= 0 for rest in had.values())


# Once, again, and over another shop


def shop_rows(customer: int = ANN) -> list[tuple[Any, ...]]:
    return [
        ("1", "22423", 2, at(2010, 12, 1, 8), 3.5, customer),
        ("2", "22424", 1, at(2011, 7, 4, 23, 30), 2.0, BOB),
        ("C3", "22423", -1, at(2011, 1, 1, 9), 3.5, customer),
        ("4", "M", 1, at(2011, 1, 1, 9), 3.5, customer),
    ]


def test_the_clock_stands_at_the_end_of_the_last_day(home: Home, small_retail: Writer):
    done = load(home, small_retail(shop_rows()))
    assert home.shop().now() == datetime(2011, 7, 4, 23, tzinfo=UTC)  # midnight in London, in summer time
    assert done["clock"] == "2011-07-04T23:00:00+00:00"
    assert (done["from"], done["to"], done["orders"], done["changed"]) == (
        "2010-12-01",
        "2011-07-04",
        2,
        True,
    )
    assert (home.shop().time_zone, home.shop().currency) == ("Europe/London", "GBP")


def test_the_same_file_again_changes_nothing(home: Home, small_retail: Writer):
    path = small_retail(shop_rows())
    first = load(home, path)
    before = contents(home)
    again = load(home, path)
    assert contents(home) == before
    assert again["changed"] is False
    for given_value in ("read", "kept", "set_aside", "notes", "clock", "from", "to"):
        assert again[given_value] == first[given_value]


def test_the_same_file_under_another_name_is_the_same_file(home: Home, small_retail: Writer, tmp_path: Path):
    path = small_retail(shop_rows())
    load(home, path)
    before = contents(home)
    assert load(home, path.rename(tmp_path / "renamed.parquet"))["changed"] is False
    assert contents(home) == before


def test_two_homes_hold_the_same_events_of_a_file(tmp_path: Path, small_retail: Writer):
    path = small_retail(shop_rows())
    homes = [Home(tmp_path / name) for name in ("a", "b")]
    for home in homes:
        load(home, path)
    for name in ("order_lines", "refunds", "traits"):
        assert events(homes[0], name) == events(homes[1], name)
    assert lake.metadata(homes[0]).generation == lake.metadata(homes[1]).generation


def test_another_file_is_added(home: Home, small_retail: Writer):
    cat = 7001001003
    load(home, small_retail(shop_rows()))
    done = load(home, small_retail([*shop_rows(cat), line("9", 1, 8)], "other.parquet"))
    # The line of BOB is in both.
    assert (done["changed"], done["orders"]) == (True, 3)
    assert done["new"] == {"order_lines": 2, "refunds": 1, "traits": 2, "activities": 0}
    assert len(done["digests"]) == 2
    assert Counter(event["customer"] for event in events(home, "order_lines")) == {ANN: 2, BOB: 1, cat: 1}
    assert Counter(event["customer"] for event in events(home, "refunds")) == {ANN: 1, cat: 1}


def test_a_file_of_nothing_new_changes_no_event(home: Home, small_retail: Writer):
    load(home, small_retail(shop_rows()))
    before = lake.metadata(home).generation
    done = load(home, small_retail(shop_rows()[:2], "part.parquet"))
    assert done["changed"] is False
    assert lake.metadata(home).generation == before


def test_a_return_finds_its_order_in_a_file_that_comes_later(home: Home, small_retail: Writer):
    done = load(home, small_retail([line("0", 1, 7, product="Z"), line("C2", -2, 9)]))
    assert done["refunds_unmatched"] == 1
    done = load(home, small_retail([line("1", 5, 8)], "earlier.parquet"))
    assert "refunds_unmatched" not in done
    assert refunds(home) == [("1", True, 2, 4.0)]


def test_the_last_day_may_be_a_returns(home: Home, small_retail: Writer):
    done = load(home, small_retail([SALE, ("C1", "22423", -1, NOON + timedelta(days=3), 3.5, ANN)]))
    assert done["to"] == "2010-12-04"
    assert home.shop().now() == datetime(2010, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shop", "says"),
    [
        ('time_zone = "Europe/Paris"\ncurrency = "GBP"', "GBP and Europe/Paris"),
        ('time_zone = "Europe/London"\ncurrency = "EUR"', "EUR and Europe/London"),
    ],
)
def test_a_file_of_another_shop_is_refused_and_everything_stays(
    home: Home, small_retail: Writer, tmp_path: Path, shop: str, says: str
):
    load(home, small_retail(shop_rows()))
    before = contents(home)
    other = tmp_path / "other.toml"
    ours = 'time_zone = "Europe/London"\ncurrency = "GBP"'
    other.write_text(mapping.text("online-retail").replace(ours, shop))
    path = small_retail([SALE], "other.parquet")
    with pytest.raises(PatronError, match=rf"this mapping says {says}; nothing was changed.*--repl"):
        imports.import_file(home, str(path), str(other))
    assert contents(home) == before
    imports.import_file(home, str(path), str(other), replace=True)
    assert len(events(home, "order_lines")) == 1


def test_replace_replaces_and_forgets_the_features(home: Home, small_retail: Writer):
    load(home, small_retail(shop_rows()))
    snapshots.build(home, monthly=False)
    home.feast.mkdir()
    done = load(home, small_retail([SALE], "other.parquet"), replace=True)
    assert done["changed"] is True
    assert [line["order_id"] for line in events(home, "order_lines")] == ["536365"]
    assert events(home, "refunds") == []
    assert home.shop().now() == datetime(2010, 12, 2, tzinfo=UTC)
    assert not home.snapshots.exists()
    assert not home.feast.exists()


def test_replace_mends_a_damaged_lake_from_the_same_file(home: Home, small_retail: Writer):
    path = small_retail(shop_rows())
    load(home, path)
    expected = events(home, "order_lines")
    (lake.current(home).folder / "order_lines" / "bucket=05" / "part-0.parquet").write_bytes(b"")
    (home.events / "import.json").write_text("{")
    with pytest.raises(PatronError, match="--replace"):
        load(home, path)
    assert load(home, path, replace=True)["changed"] is True
    assert events(home, "order_lines") == expected


def test_a_simulated_shop_is_not_imported_over(shop_copy: Home, small_retail: Writer):
    before = contents(shop_copy)
    with pytest.raises(PatronError, match=r"holds another shop \(simulate\)"):
        load(shop_copy, small_retail(shop_rows()))
    assert contents(shop_copy) == before
    load(shop_copy, small_retail(shop_rows()), replace=True)
    assert shop_copy.shop().source == "online-retail"
    assert len(events(shop_copy, "order_lines")) == 2


def test_an_imported_shop_is_not_simulated_over(home: Home, small_retail: Writer):
    load(home, small_retail(shop_rows()))
    before = contents(home)
    with pytest.raises(PatronError, match=r"holds another shop \(online-retail\)"):
        simulated_shop.simulate_shop(home, 20, 1, 0.5)
    assert contents(home) == before
    simulated_shop.simulate_shop(home, 20, 1, 0.5, replace=True)
    assert home.shop().source == lake.metadata(home).source == "simulate"


def test_another_simulation_is_refused_unless_it_shall_replace(home: Home):
    simulated_shop.simulate_shop(home, 20, 1, 0.5)
    plan = lake.metadata(home).plan
    with pytest.raises(PatronError, match="simulated shop of 20 customers with seed 1"):
        simulated_shop.simulate_shop(home, 20, 2, 0.5)
    assert lake.metadata(home).plan == plan
    simulated_shop.simulate_shop(home, 30, 2, 0.5, replace=True)
    replaced = lake.metadata(home).plan
    assert (replaced["customers"], replaced["seed"]) == (30, 2)


@pytest.mark.parametrize(
    ("as_of", "stands"),
    [
        ("2011-01-01", datetime(2011, 1, 1, tzinfo=UTC)),
        ("2011-07-01", datetime(2011, 6, 30, 23, tzinfo=UTC)),
        ("2011-07-01T12:30", datetime(2011, 7, 1, 11, 30, tzinfo=UTC)),
        ("2011-07-01 12:30:00.75", datetime(2011, 7, 1, 11, 30, tzinfo=UTC)),
        ("2011-07-01T12:30+08:00", datetime(2011, 7, 1, 4, 30, tzinfo=UTC)),
    ],
)
def test_the_clock_can_be_set(home: Home, small_retail: Writer, as_of: str, stands: datetime):
    path = small_retail(shop_rows())
    done = load(home, path, as_of=as_of)
    assert home.shop().now() == stands
    assert done["clock"] == stands.isoformat()
    load(home, path)  # set again without a word, it stands at the end
    assert home.shop().now() == datetime(2011, 7, 4, 23, tzinfo=UTC)


def test_features_are_as_of_the_clock_that_was_set(home: Home, small_retail: Writer):
    load(home, small_retail(shop_rows()), as_of="2011-07-01T12:30")
    stands = datetime(2011, 7, 1, 11, 30, tzinfo=UTC)
    built = snapshots.build(home, monthly=False)
    assert built.as_ofs[-1] == built.current == stands
    assert all(set(built.frame(group, stands)["as_of"]) == {stands} for group in GROUPS)


@pytest.mark.parametrize("as_of", ["yesterday", "2011-02-30", "01/02/2011", " "])
def test_a_clock_set_to_nothing_that_is_a_time_is_refused(home: Home, small_retail: Writer, as_of: str):
    with pytest.raises(PatronError, match="is not a date or time"):
        load(home, small_retail(shop_rows()), as_of=as_of)
    assert not home.path.exists()


# Bad files


def table(**changes: Any) -> pa.Table:
    """A good file's table, with other columns; None leaves one out."""
    columns: dict[str, Any] = {
        "InvoiceNo": ["1", "2"],
        "StockCode": ["22423", "22424"],
        "Description": ["TEA", "BAG"],
        "Quantity": [1, 2],
        "InvoiceDate": [NOON, NOON],
        "UnitPrice": [1.0, 2.0],
        "CustomerID": [ANN, BOB],
        "Country": ["EIRE", "EIRE"],
    }
    return pa.table({name: column for name, column in (columns | changes).items() if column is not None})


def parquet(path: Path, **changes: Any) -> None:
    pq.write_table(table(**changes), path)


def truncated(path: Path) -> None:
    parquet(path)
    path.write_bytes(path.read_bytes()[:-200])


def damaged_inside(path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [str(n) for n in rng.integers(0, 10**9, 5000)]
    parquet(
        path, **{name: column * 2500 for name, column in table().to_pydict().items()} | {"InvoiceNo": noise}
    )
    content = bytearray(path.read_bytes())
    content[200:20_000] = bytes(byte ^ 0b1010101 for byte in content[200:20_000])
    path.write_bytes(content)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "no such file"),
    "empty": (lambda path: path.touch(), "the file is empty"),
    "a CSV": (lambda path: path.write_text("InvoiceNo,StockCode\n1,2\n" * 99), "not a Parquet file"),
    "truncated": (truncated, "not a Parquet file, or it is damaged"),
    "damaged inside": (damaged_inside, "or it is damaged"),
    "without columns": (
        lambda path: parquet(path, CustomerID=None, Country=None),
        "no column CustomerID, Country; it has InvoiceNo",
    ),
    "without rows": (lambda path: pq.write_table(table().slice(0, 0), path), "none of its 0 rows"),
    "without readable times": (
        lambda path: parquet(path, InvoiceDate=["soon", "later"]),
        r"none of its 2 rows can be used \(unreadable: 2\)",
    ),
    "with endless times": (
        lambda path: parquet(path, InvoiceDate=["infinity", "-infinity"]),
        r"none of its 2 rows can be used \(unreadable: 2\)",
    ),
    "without customers": (
        lambda path: parquet(path, CustomerID=["", "nan"]),
        r"none of its 2 rows can be used \(no customer: 2\)",
    ),
}


@pytest.fixture(scope="module")
def existing_shop(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with features, which a bad file does not change."""
    folder = tmp_path_factory.mktemp("existing")
    home = Home(folder / "home")
    parquet(folder / "good.parquet")
    load(home, folder / "good.parquet")
    snapshots.build(home, monthly=False)
    return home


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_and_an_existing_shop_stays(existing_shop: Home, tmp_path: Path, kind: str):
    home, before = existing_shop, contents(existing_shop)
    make, text_value = BAD[kind]
    path = tmp_path / "bad.parquet"
    make(path)
    with pytest.raises(PatronError, match=text_value) as caught:
        load(home, path, replace=True)
    assert str(path) in str(caught.value)
    with pytest.raises(PatronError):
        load(home, path)
    assert contents(home) == before


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_makes_no_shop(home: Home, tmp_path: Path, kind: str):
    path = tmp_path / "bad.parquet"
    BAD[kind][0](path)
    with pytest.raises(PatronError, match=BAD[kind][1]):
        load(home, path)
    assert not lake.exists(home)
    assert not home.settings_file.exists()


def test_cancellations_alone_are_no_shop(home: Home, small_retail: Writer):
    with pytest.raises(PatronError, match="no order among the events"):
        load(home, small_retail([("C1", "22423", -1, NOON, 1.0, ANN)]))
    assert not lake.exists(home)
    assert contents(home) == {}


def test_an_unknown_source_is_named(home: Home, small_retail: Writer):
    with pytest.raises(PatronError, match=r"--as shoes: .*neither such a source \(cdnow, online-retail\)"):
        imports.import_file(home, str(small_retail([SALE])), "shoes")


def test_further_columns_are_ignored_and_counted(home: Home, tmp_path: Path):
    plain, wide = tmp_path / "plain.parquet", tmp_path / "wide.parquet"
    parquet(plain)
    extra = {"Email": ["ann@example.org"] * 2, "row_number": [5, 5], "customer_id": ["x", "y"]}
    parquet(wide, **extra)
    assert load(home, plain)["notes"] == {}
    other = Home(tmp_path / "other")
    assert load(other, wide)["notes"]["columns_ignored"] == 3
    assert events(other, "order_lines") == events(home, "order_lines")


def test_other_types_that_can_be_read_are_read(home: Home, tmp_path: Path):
    path, plain = tmp_path / "texts.parquet", tmp_path / "plain.parquet"
    parquet(plain)
    given_value = table().to_pydict()
    parquet(path, **{name: [str(value) for value in column] for name, column in given_value.items()})
    load(home, plain)
    other = Home(tmp_path / "other")
    load(other, path)
    assert events(other, "order_lines") == events(home, "order_lines")


def test_without_an_import_there_is_nothing_to_report(home: Home):
    with pytest.raises(NothingThere, match="there are no events"):
        rejected_rows.report(home)
    shops.begin_live(home, "Europe/London", "GBP")
    with pytest.raises(PatronError, match="no import"):
        rejected_rows.report(home)


# Whose ids stand where


def texts(home: Home) -> dict[tuple[str, str], set[str]]:
    """Every value in a home's Parquet files, as text, by (table or group, column)."""
    result: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in home.path.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        for name in table.column_names:
            values = table[name].unique().to_pylist()
            result[path.relative_to(home.path).parts[2], name] |= {str(value) for value in values}
    return result


def test_ids_stand_in_one_file_only(
    home: Home, small_retail: Writer, build_features: Callable[..., SnapshotSet]
):
    strangers = [("1", "M", 1, NOON, 1.0, 7001001009), ("1", "22423", 1, NOON, -1.0, 7001001009)]
    load(home, small_retail([*shop_rows(), *strangers]))
    build_features(home, monthly=False)
    ids = [str(ANN), str(BOB), "7001001009"]
    holding = {path.name for path in home.path.rglob("*") if path.is_file() and _mentions(path, ids[:2])}
    assert holding == {"patron.db"}
    assert not any(i in text for values in texts(home).values() for text in values for i in ids)
    # Nothing is kept of someone of whom no row was.
    assert not any(_mentions(path, ids[2:]) for path in home.path.rglob("*") if path.is_file())


def _mentions(path: Path, ids: list[str]) -> bool:
    content = path.read_bytes()
    numbers = [int(i).to_bytes(8, order) for i in ids for order in ("little", "big")]  # type: ignore[arg-type]
    return any(part in content for part in [*(i.encode() for i in ids), *numbers])


def test_no_simulated_customers_id_leaves_its_file(built_shop: Home):
    ids = set(Identity(built_shop).table()["customer_id"].to_pylist())
    assert "C000001" in ids
    for name, values in texts(built_shop).items():
        assert not ids & values, name
    for path in built_shop.path.rglob("*"):
        if path.is_file() and path.suffix != ".parquet" and path != built_shop.database_file:
            assert b"C0000" not in path.read_bytes(), path.name


# The real file


@pytest.fixture(scope="module")
def real(retail_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, Any]]:
    home = Home(tmp_path_factory.mktemp("real") / "home")
    return home, load(home, retail_file)


@pytest.fixture(scope="module")
def reckoned(retail_file: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows to keep and the numbers of the others, reckoned in pandas."""
    rows = pd.read_parquet(retail_file)[list(COLUMNS)]
    aside: dict[str, int] = {}

    def leave_out(reason: str, which: pd.Series) -> None:
        nonlocal rows
        aside[reason] = int(which.sum())
        rows = rows[~which]

    leave_out("no_customer", rows["CustomerID"].isna())
    leave_out("price_not_positive", rows["UnitPrice"] <= 0)
    leave_out("adjustment", rows["StockCode"].str.upper().isin(ADJUSTMENTS))
    cancels = rows["InvoiceNo"].str.startswith("C")
    leave_out("not_a_sale", (rows["Quantity"] == 0) | (~cancels & (rows["Quantity"] < 0)))
    leave_out("duplicate", rows.duplicated())
    return rows, {reason: n for reason, n in aside.items() if n}


@pytest.mark.slow
def test_the_real_file_is_accounted_for(
    real: tuple[Home, dict[str, Any]], reckoned: tuple[pd.DataFrame, dict[str, int]]
):
    _, done = real
    remaining, aside = reckoned
    assert done["read"] == 1_044_847
    assert done["set_aside"]["no_customer"] == 235_287
    assert done["set_aside"] == aside
    assert sum(done["kept"].values()) == len(remaining)
    assert done["read"] == sum(done["kept"].values()) + sum(done["set_aside"].values())
    assert (done["from"], done["to"], done["clock"]) == (
        "2009-12-01",
        "2011-12-09",
        "2011-12-10T00:00:00+00:00",
    )


@pytest.mark.slow
def test_the_real_files_money_items_and_customers_are_all_there(
    real: tuple[Home, dict[str, Any]], reckoned: tuple[pd.DataFrame, dict[str, int]]
):
    home, _ = real
    rows, _ = reckoned
    backend = lake.connect()
    stored = lake.read(home, backend)
    cancels = rows["InvoiceNo"].str.startswith("C")
    for remaining, part in ((stored.order_lines, rows[~cancels]), (stored.refunds, rows[cancels])):
        assert remaining.count().execute() == len(part)
        assert remaining.quantity.sum().execute() == part["Quantity"].abs().sum()
        money = (part["Quantity"].abs() * part["UnitPrice"]).round(4).sum()
        assert float(remaining.amount.sum().execute()) == pytest.approx(money, rel=1e-9)
        assert remaining.customer_key.nunique().execute() == part["CustomerID"].nunique()
    local = rows["InvoiceDate"].dt.tz_localize("Europe/London", ambiguous=True, nonexistent="shift_forward")
    utc = local.dt.tz_convert("UTC").dt.tz_localize(None)
    assert stored.order_lines.timestamp.min().execute() == utc[~cancels].min()
    assert stored.refunds.timestamp.max().execute() == utc[cancels].max()
    ids = Identity(home).table()
    assert sorted(map(int, ids["customer_id"].to_pylist())) == sorted(rows["CustomerID"].astype(int).unique())


@pytest.mark.slow
def test_the_real_files_refunds_never_exceed_the_orders_they_take_back(real: tuple[Home, dict[str, Any]]):
    home, done = real
    backend = lake.connect()
    lake.read(home, backend)
    sums = "sum(quantity) AS n, min(timestamp) AS at FROM {} GROUP BY customer_key, order_id, product_id"
    keys = "customer_key, order_id, product_id"
    returned = f"SELECT {keys}, {sums.format('refunds WHERE matched')}"
    bought = f"SELECT {keys}, {sums.format('order_lines')}"
    pairs, wrong = backend.con.execute(
        f"SELECT count(*), count(*) FILTER (b.n IS NULL OR r.n > b.n OR r.at <= b.at)"
        f" FROM ({returned}) r LEFT JOIN ({bought}) b USING ({keys})"
    ).fetchall()[0]
    assert pairs > 10_000
    assert wrong == 0
    unmatched = backend.con.execute("SELECT count(*) FROM refunds WHERE NOT matched").fetchall()
    assert unmatched == [(done["refunds_unmatched"],)]
    assert 0 < done["refunds_unmatched"] < done["kept"]["refunds"] / 5


@pytest.mark.slow
def test_the_real_customers_ids_stand_in_one_file_only(real: tuple[Home, dict[str, Any]]):
    home, _ = real
    table = Identity(home).table()
    ids = set(table["customer_id"].to_pylist())
    result = texts(home)
    assert not {"customer_id", "CustomerID"} & {column for _, column in result}
    # Products' numbers reach into the customers' range, and so do quantities: they say nothing.
    assert {("traits", "value"), ("order_lines", "order_id"), ("set_aside.parquet", "order_id")} < set(result)
    for (where, column), values in result.items():
        if column not in ("product_id", "quantity", "row_number", "day"):
            assert not ids & values, (where, column)
    keys = {int(key) for (_, column), values in result.items() if column == "customer_key" for key in values}
    assert max(keys) == len(ids) < min(map(int, ids))


@pytest.mark.slow
def test_the_real_file_again_changes_nothing(real: tuple[Home, dict[str, Any]], retail_file: Path):
    home, done = real
    before = contents(home)
    again = load(home, retail_file)
    assert again["changed"] is False
    assert again["kept"] == done["kept"]
    assert contents(home) == before
