"""Two homes over one database: nothing of the first is lost, whichever command the second runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.calendar import day_of, micros
from core.errors import PatronError
from core.home import Home
from core.home_id import AnotherHome
from core.storage.database import Database
from events import journal, lake
from events.files import imports
from events.identity import Identity
from events.journal import Message
from events.lake import compaction, shops, versions
from events.simulation import simulated_shop

ZONE = "Europe/Berlin"
START = datetime(2024, 3, 1, tzinfo=UTC)
CSV = "who,day,no,product,amount\nzoe,2024-03-02,o9,tea,5\n"
MAPPING = """
[shop]
time_zone = "Europe/Berlin"
currency = "EUR"
[orders]
customer = "who"
time = "day"
order = "no"
product = "product"
amount = "amount"
"""


def append(home: Home, *numbers: int) -> None:
    arrived = []
    for n in numbers:
        at = START + timedelta(hours=n)
        line = [micros(at), micros(at), day_of(at, ZONE), f"o{n}", "tea", "food", 2, "12.5000", "0.0000"]
        arrived.append(Message(f"m{n}", at, f"c{n}", rows={"order_lines": [line]}))
    journal.append(Database(home), arrived, **versions.position(home)._asdict())


def orders(home: Home) -> list[str]:
    table = lake.read(home, lake.connect()).order_lines.to_pyarrow()
    return sorted(table["order_id"].to_pylist())


@pytest.fixture
def first(empty_home: Home) -> Home:
    """A shop with two orders in the lake and two in the journal."""
    shops.begin_live(empty_home, ZONE, "EUR")
    append(empty_home, 1, 2)
    compaction.compact(empty_home, Database(empty_home))
    append(empty_home, 3)
    compaction.compact(empty_home, Database(empty_home))
    append(empty_home, 4)
    return empty_home


@pytest.fixture
def second(first: Home) -> Home:
    """Another folder over the database of the first."""
    path = first.path.parent / "second"
    if first.database is None:
        path.mkdir()
        (path / "patron.db").hardlink_to(first.database_file)
    return Home(path, first.database)


def import_file(home: Home, tmp_path: Path, replace: bool) -> None:
    (tmp_path / "orders.csv").write_text(CSV)
    (tmp_path / "orders.toml").write_text(MAPPING)
    imports.import_file(home, str(tmp_path / "orders.csv"), str(tmp_path / "orders.toml"), replace=replace)


COMMANDS: dict[str, Callable[[Home, Path], object]] = {
    "init": lambda home, _: shops.begin_live(home, ZONE, "EUR"),
    "simulate": lambda home, _: simulated_shop.simulate_shop(home, 5, 7, 0.1),
    "simulate --replace": lambda home, _: simulated_shop.simulate_shop(home, 5, 7, 0.1, replace=True),
    "import": lambda home, folder: import_file(home, folder, False),
    "import --replace": lambda home, folder: import_file(home, folder, True),
}


def test_a_second_home_is_refused_and_nothing_is_lost(first: Home, second: Home, tmp_path: Path) -> None:
    for command in COMMANDS.values():
        with pytest.raises(AnotherHome, match="nothing was changed"):
            command(second, tmp_path)
        assert not lake.exists(second)
        assert orders(first) == ["o1", "o2", "o3", "o4"]
    assert Identity(first).keys(["c1", "c4"]) == {"c1": 1, "c4": 4}
    append(first, 1, 5)
    assert orders(first) == ["o1", "o2", "o3", "o4", "o5"]


def test_a_lost_lake_is_no_reason_to_delete_what_arrived(first: Home, tmp_path: Path) -> None:
    shutil.rmtree(first.events)
    for command in ("init", "simulate", "import"):
        with pytest.raises(PatronError, match=r"database has 4 messages that arrived; nothing was changed"):
            COMMANDS[command](first, tmp_path)
        assert len(Identity(first).table()) == 4
        assert journal.arrived(Database(first)) == 4


@pytest.mark.parametrize("command", ["simulate --replace", "import --replace"])
def test_the_shop_of_the_own_home_is_replaced_where_a_person_says_so(
    command: str, first: Home, tmp_path: Path
) -> None:
    COMMANDS[command](first, tmp_path)
    assert journal.arrived(Database(first)) == 0
    assert not {"o1", "o4"} & set(orders(first))


def test_a_lost_folder_is_attached_to_its_database(first: Home, second: Home, tmp_path: Path) -> None:
    with pytest.raises(PatronError, match="pass its --time-zone and --currency"):
        shops.attach(second, None, None)
    attached = shops.attach(second, ZONE, "EUR")
    assert (attached.customers, attached.messages, attached.lost) == (4, 2, 2)
    assert orders(second) == ["o3", "o4"]
    append(second, 4, 5)  # the fourth was sent before
    assert orders(second) == ["o3", "o4", "o5"]
    compaction.compact(second, Database(second))
    import_file(second, tmp_path, False)
    assert orders(second) == ["o3", "o4", "o5", "o9"]
    assert Identity(second).keys(["c1", "c4", "c5", "zoe"]) == {"c1": 1, "c4": 4, "c5": 5, "zoe": 6}


def test_a_home_that_lost_only_its_lake_goes_on_with_its_settings(first: Home) -> None:
    shutil.rmtree(first.events)
    attached = shops.attach(first, None, None)
    assert (attached.messages, attached.lost, attached.has_lake) == (2, 2, False)
    assert orders(first) == ["o3", "o4"]
    assert first.shop().time_zone == ZONE
