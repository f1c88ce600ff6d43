"""A home has an id, and refuses stores of another home; on a file and on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import home_id
from core.home import Home
from core.home_id import AnotherHome, HomeId
from core.shop import Clock, Shop
from core.storage import migrations, ownership
from core.storage.database import Database
from events.identity import Identity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(empty_home: Home) -> Home:
    return empty_home


def other(home: Home) -> Home:
    """Another folder over the same database."""
    if home.database is not None:
        return Home(home.path.parent / "other", home.database)
    path = home.path.parent / "other"
    path.mkdir()
    path.joinpath("patron.db").hardlink_to(home.database_file)
    return Home(path)


def open_shop(home: Home) -> None:
    home.write_shop(Shop("live", "Europe/Berlin", "EUR", Clock()))


@contextmanager
def plain(home: Home) -> Iterator[sa.Connection]:
    """A connection to a home's database that does not check whose it is."""
    engine = sa.create_engine(home.database_address)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def id_in(home: Home) -> str | None:
    with plain(home) as connection:
        return ownership.stored(connection)


LATER_TABLES = (
    "home_id", "contacts", "reservations", "holdout_phases", "holdout_draws", "conversions",
    "spending", "spent", "plan_releases", "accounts", "sessions", "audit_log",
    "sign_in_attempts",
)  # fmt: skip


def drop_id(home: Home) -> None:
    """Make a home as an earlier release left it."""
    with plain(home) as connection:
        for table in LATER_TABLES:
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0007'"))
    home.id_file.unlink()


def customers(home: Home) -> int:
    with plain(home) as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM customers")).scalar_one())


def test_the_first_write_gives_home_and_database_one_id_which_stays(home: Home) -> None:
    Identity(home).assign(["a"])
    own = home_id.read(home)
    assert own is not None
    assert not own.adopted
    assert len(own.id) == 32
    assert id_in(home) == own.id
    open_shop(home)
    Identity(home).assign(["b"])
    assert home_id.read(home) == own
    assert sorted(path.name for path in home.path.glob("home.id*")) == ["home.id"]


@pytest.mark.parametrize("use", ["reading", "writing"])
def test_a_home_whose_id_another_process_confirms_meanwhile_is_not_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    Identity(home).assign(["a"])
    own, stored = home_id.read(home), ownership.stored
    assert own is not None
    home.id_file.rename(home.id_file.with_name("home.id.pending"))  # committed, not confirmed yet

    def stored_and_confirmed(connection: sa.Connection) -> str | None:
        owner = stored(connection)
        home_id.confirm(home)
        return owner

    monkeypatch.setattr(ownership, "stored", stored_and_confirmed)
    with getattr(Database(home), use)() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM customers")).scalar_one() == 1
    assert home_id.read(home) == own


USES: dict[str, Callable[[Database], object]] = {
    "reading": lambda database: database.reading().__enter__(),
    "writing": lambda database: database.writing().__enter__(),
    "prepare": lambda database: database.prepare(),
    "first": lambda database: database.first("SELECT 1", ()),
}


@pytest.mark.parametrize("use", USES)
def test_a_database_of_another_home_is_refused(home: Home, use: str) -> None:
    Identity(home).assign(["a", "b"])
    second = other(home)
    home_id.write(second, home_id.new())
    database = Database(second)
    with pytest.raises(AnotherHome, match=r"belongs to another home .* nothing was changed. Set PATRON_HOME"):
        USES[use](database)
    assert customers(home) == 2


@pytest.mark.parametrize("use", ["reading", "writing"])
def test_an_empty_folder_does_not_take_over_a_living_database(home: Home, use: str) -> None:
    Identity(home).assign(["a", "b"])
    second = other(home)
    with pytest.raises(AnotherHome, match=r"patron init --attach"):
        getattr(Database(second), use)().__enter__()
    assert home_id.read(second) is None
    assert customers(home) == 2
    Database(second).attach()
    assert home_id.read(second) == HomeId(str(id_in(home)), adopted=True)
    assert Identity(second).keys(["a"]) == {"a": 1}


def test_a_home_of_an_earlier_release_is_adopted_by_its_first_write(home: Home) -> None:
    Identity(home).assign(["a"])
    open_shop(home)
    drop_id(home)
    Database(home).close()
    Identity(home).assign(["b"])
    own = home_id.read(home)
    assert own is not None
    assert own.adopted
    assert id_in(home) == own.id


def test_a_database_of_an_earlier_release_is_not_adopted_by_an_empty_folder(home: Home) -> None:
    if home.database is None:
        pytest.skip("a file in the home is the home's")
    Identity(home).assign(["a"])
    drop_id(home)
    second = other(home)
    with pytest.raises(AnotherHome, match="contains a shop, but no home's id"):
        Database(second).prepare()
    assert id_in(home) is None
    assert customers(home) == 1
    with plain(home) as connection:
        assert migrations.revision(connection) == "0007"


def test_a_lost_database_is_not_replaced_by_an_empty_one(home: Home) -> None:
    open_shop(home)
    home_id.write(home, home_id.new())
    with pytest.raises(AnotherHome, match=r"has no home's id, and .* a new one because the home's was lost"):
        Database(home).prepare()
    Database(home).attach()
    assert id_in(home) == home_id.read(home).id  # type: ignore[union-attr]


@pytest.mark.parametrize("stage", ["proposed", "committed"])
def test_an_adoption_that_was_interrupted_goes_on(home: Home, stage: str) -> None:
    Identity(home).assign(["a"])
    own = home_id.read(home)
    assert own is not None
    home.id_file.rename(home.path / "home.id.pending")
    if stage == "proposed":
        with plain(home) as connection:
            for table in ("home_id", "customers", "customer_ids"):
                connection.execute(sa.text(f"DELETE FROM {table}"))
    Identity(home).assign(["b"])
    assert home_id.read(home) == own
    assert id_in(home) == own.id


def test_processes_that_start_at_once_agree_on_one_id(home: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from core.home import Home; from core import home_id\n"
        "from core.storage.database import Database\n"
        "home = Home(Path(sys.argv[1]), sys.argv[2] or None); Database(home).prepare()\n"
        "print(home_id.read(home).id)"
    )

    def run(_: int) -> str:
        arguments = [sys.executable, "-c", code, str(home.path), home.database or ""]
        return subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(run, range(4)))
    assert ids == {id_in(home)}


def test_a_damaged_id_is_named(home: Home) -> None:
    home.path.mkdir(parents=True)
    home.id_file.write_text(json.dumps({"other": 1}))
    with pytest.raises(home_id.PatronError, match=r"home\.id is damaged"):
        Database(home).prepare()
