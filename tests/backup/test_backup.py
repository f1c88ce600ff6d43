"""Backup and restore of a home, over a file and over PostgreSQL."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backup import create, manifest, parts, restore
from core import home_id, private
from core.calendar import day_of, micros
from core.errors import NothingThere, PatronError
from core.home import Home
from core.home_id import AnotherHome
from core.storage.database import Database
from events import journal, lake
from events.identity import Identity
from events.journal import Message, Refused
from events.lake import compaction, shops, versions
from features.catalogue.store import Store
from models.registry.copies import local
from serving.access.keys import Keys
from serving.access.scopes import Scope

ZONE = "Europe/Berlin"
START = datetime(2024, 3, 1, tzinfo=UTC)


def append(home: Home, *numbers: int, at: datetime = START) -> None:
    """Send the order ``o<n>`` of the customer ``c<n>``."""
    arrived = []
    for n in numbers:
        when = at + timedelta(minutes=n)
        line = [
            micros(when),
            micros(when),
            day_of(when, ZONE),
            f"o{n}",
            "tea",
            "food",
            2,
            "12.5000",
            "0.0000",
        ]
        arrived.append(Message(f"m{n}", when, f"c{n}", rows={"order_lines": [line]}))
    journal.append(Database(home), arrived, **versions.position(home)._asdict())


def orders(home: Home) -> list[int]:
    """The numbers of all orders that a reader sees; twice where one is seen twice."""
    table = lake.read(home, lake.connect()).order_lines.to_pyarrow()
    return sorted(int(order[1:]) for order in table["order_id"].to_pylist())


@pytest.fixture
def home(empty_home: Home) -> Home:
    """A shop with orders in the lake, in the journal and in both, a key, a quarantined event and a job."""
    return filled(empty_home)


@pytest.fixture
def file_home(tmp_path: Path) -> Home:
    """The same over a file, for what does not depend on the database."""
    return filled(Home(tmp_path / "home"))


def filled(home: Home) -> Home:
    database = Database(home)
    shops.begin_live(home, ZONE, "EUR")
    append(home, 1, 2)
    compaction.compact(home, database)
    append(home, 3)
    compaction.compact(home, database)
    append(home, 4)
    journal.append(database, [], [Refused(START, "not yet", "{}", "q")], compacted_seq=0)
    Keys(home).create("crm", [Scope.SCORES])
    home.actions.write_text("# rules\n")
    job = home.score_jobs / ("a" * 32)
    job.mkdir(parents=True)
    (job / "job.json").write_text("{}")
    (job / "part-0").write_bytes(b"scores")
    (job / "part-1.token.draft").write_bytes(b"half")
    return home


@pytest.fixture
def elsewhere(home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """An empty home over an empty database of the same kind."""
    if home.database is None:
        yield Home(tmp_path / "elsewhere" / "home")
        return
    with request.getfixturevalue("postgres").database() as address:
        yield Home(tmp_path / "elsewhere" / "home", address)


def content(home: Home) -> dict[str, Any]:
    """What a home answers with."""
    with Database(home).reading() as connection:
        quarantined = connection.execute(sa.text("SELECT id, reason FROM quarantine")).all()
        given = connection.execute(sa.text("SELECT count(*) FROM messages")).scalar_one()
    return {
        "orders": orders(home),
        "keys": Identity(home).keys([f"c{n}" for n in range(10)]),
        "quarantine": [tuple(row) for row in quarantined],
        "messages": given,
        "api keys": [key.name for key in Keys(home).living()],
        "rules": home.actions.read_text(),
        "shop": home.shop(),
    }


def test_a_restored_home_is_the_one_that_was_backed_up(home: Home, elsewhere: Home, tmp_path: Path) -> None:
    before = content(home)
    made = create.create(home, tmp_path / "backup")
    assert (
        made.size
        == sum(f.stat().st_size for f in (tmp_path / "backup").rglob("*") if f.is_file())
        - (tmp_path / "backup" / manifest.FILE).stat().st_size
    )
    restored = restore.restore(tmp_path / "backup", elsewhere)
    assert not restored.replaced
    assert content(elsewhere) == before
    job = elsewhere.score_jobs / ("a" * 32)
    assert sorted(path.name for path in job.iterdir()) == ["job.json", "part-0"]
    own, other = home_id.read(home), home_id.read(elsewhere)
    assert own is not None
    assert other is not None
    assert (other.id, bool(other.restored)) == (own.id, True)
    assert not list(home.path.glob("*.draft"))
    assert not list(elsewhere.path.glob("*.draft"))
    compaction.compact(elsewhere, Database(elsewhere))
    append(elsewhere, 4, 5)
    assert orders(elsewhere) == [1, 2, 3, 4, 5]


def test_nothing_of_a_backup_can_be_read_by_others(home: Home, elsewhere: Home, tmp_path: Path) -> None:
    before = os.umask(private.UMASK)
    try:
        create.create(home, tmp_path / "backup")
        restore.restore(tmp_path / "backup", elsewhere)
    finally:
        os.umask(before)
    for top in (tmp_path / "backup", elsewhere.path):
        for path in (top, *top.rglob("*")):
            assert not stat.S_IMODE(path.stat().st_mode) & private.UMASK, path


def test_numbers_that_were_given_out_after_the_backup_are_not_given_twice(home: Home, tmp_path: Path) -> None:
    create.create(home, tmp_path / "backup")
    append(home, 7, 8)
    later = Identity(home).keys(["c7", "c8"])
    restore.restore(tmp_path / "backup", home, replacing=True)
    assert orders(home) == [1, 2, 3, 4]
    append(home, 9)
    assert Identity(home).keys(["c9"])["c9"] > max(later.values())
    assert Identity(home).keys(["c4"]) == {"c4": 4}
    assert orders(home) == [1, 2, 3, 4, 9]
    append(home, 7)  # sent again by a client that was not answered, or from its log
    compaction.compact(home, Database(home))
    assert orders(home) == [1, 2, 3, 4, 7, 9]
    journal.append(Database(home), [], [Refused(START, "other", "{}", "r")], compacted_seq=0)
    with Database(home).reading() as connection:
        ids = connection.execute(sa.text("SELECT id FROM quarantine ORDER BY id")).scalars().all()
    assert len(set(ids)) == 2


def test_a_backup_taken_while_events_arrive_and_move_is_consistent(
    home: Home, elsewhere: Home, tmp_path: Path
) -> None:
    """An event is in the backup once or, if it came later, not at all; acknowledged before it: always."""
    stop, sent = threading.Event(), 10

    def send() -> None:
        nonlocal sent
        while not stop.is_set():
            append(home, *range(sent, sent + 5))
            sent += 5

    def move() -> None:
        while not stop.wait(0.1):  # the lock has no queue
            compaction.compact(home, Database(home))

    threads = [threading.Thread(target=send), threading.Thread(target=move)]
    for thread in threads:
        thread.start()
    try:
        for i in range(3):
            before = sent
            create.create(home, tmp_path / f"backup{i}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    restore.restore(tmp_path / "backup2", elsewhere)
    seen = orders(elsewhere)
    assert len(seen) == len(set(seen))
    assert set(seen) >= {1, 2, 3, 4, *range(10, before)}
    assert seen[-1] < sent
    with Database(elsewhere).reading() as connection:  # what is known by its id is there, and nothing else
        assert connection.execute(sa.text("SELECT count(*) FROM messages")).scalar_one() == len(seen)
    append(elsewhere, *range(10, sent))  # clients send everything again
    assert orders(elsewhere) == [1, 2, 3, 4, *range(10, sent)]


# Refused


def test_a_home_or_database_that_is_not_empty_is_replaced_only_on_demand(home: Home, tmp_path: Path) -> None:
    create.create(home, tmp_path / "backup")
    append(home, 5)
    before = content(home)
    with pytest.raises(PatronError, match=r"contains home\.id.*; nothing was changed.*--replace"):
        restore.restore(tmp_path / "backup", home)
    assert content(home) == before


def test_a_database_of_another_home_is_not_replaced(home: Home, tmp_path: Path) -> None:
    if home.database is None:
        pytest.skip("a file in the home is the home's")
    create.create(home, tmp_path / "backup")
    other = Home(tmp_path / "other", home.database)
    before, own = content(home), home_id.read(home)
    assert own is not None
    set_id(home, "f00d")
    home_id.write(other, home_id.new())
    with pytest.raises(AnotherHome, match="belongs to another home"):
        restore.restore(tmp_path / "backup", other, replacing=True)
    set_id(home, own.id)
    assert content(home) == before


def set_id(home: Home, owner: str) -> None:
    """Make the database another home's."""
    engine = sa.create_engine(home.database_address)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE home_id SET id = :owner"), {"owner": owner})
    engine.dispose()


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "has changed; use another backup": ("", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "is missing; use another backup": ("", lambda _: None),
    "is damaged; use another backup": (manifest.FILE, lambda content: content.replace(b'"m', b'"n', 1)),
    "was made by a newer Patron": (manifest.FILE, lambda c: c.replace(b'"format": 1', b'"format": 99')),
    "is no complete backup": (manifest.FILE, lambda _: None),
}


def test_a_damaged_or_incomplete_backup_changes_nothing(file_home: Home, tmp_path: Path) -> None:
    home = file_home
    folder = tmp_path / "backup"
    create.create(home, folder)
    lake_file = next(name for name in sorted(manifest.read(folder).files) if name.endswith(".parquet"))
    before = content(home)
    for words, (name, damage) in DAMAGES.items():
        path = folder / (name or lake_file)
        whole = path.read_bytes()
        damaged = damage(whole)
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(PatronError, match=words):
            restore.restore(folder, home, replacing=True)
        path.write_bytes(whole)
    assert content(home) == before


def test_a_restore_that_fails_leaves_the_old_home(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create.create(home, tmp_path / "backup")
    append(home, 5)
    before, token = content(home), home_id.read(home)
    moved, real = [], os.replace

    def fails_late(source: Any, target: Any) -> None:
        if Path(target).parent == home.path and ".draft/" in str(source):
            moved.append(source)
            if len(moved) == 3:
                raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails_late)
    with pytest.raises(PatronError, match="No space left on device; it is as before"):
        restore.restore(tmp_path / "backup", home, replacing=True)
    monkeypatch.undo()
    assert content(home) == before
    assert home_id.read(home) == token
    assert not list(home.path.glob("*.draft"))


def test_a_home_whose_restore_was_killed_is_refused_until_it_is_repeated(
    file_home: Home, tmp_path: Path
) -> None:
    home = file_home
    create.create(home, tmp_path / "backup")
    before = content(home)
    (home.path / "home.id.restoring").write_text(home.id_file.read_text())
    shutil.move(home.events, tmp_path / "gone")
    Database(home).close()
    with pytest.raises(PatronError, match=r"a restore into .* was interrupted; run `patron restore DIR"):
        home_id.read(home)
    restore.restore(tmp_path / "backup", home, replacing=True)
    assert content(home) == before


def test_a_home_in_use_is_not_replaced(file_home: Home, tmp_path: Path) -> None:
    home = file_home
    import fcntl

    create.create(home, tmp_path / "backup")
    with open(home.path / "refresher.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PatronError, match="is in use; stop `patron serve` and `patron refresh`"):
            restore.restore(tmp_path / "backup", home, replacing=True)


# A full disk


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_in_the_middle_of_a_backup_leaves_nothing(home: Home, tmp_path: Path) -> None:
    before = content(home)
    whole = create.create(home, tmp_path / "whole")
    kilobytes = sum(-(-file.bytes // 4096) * 4 for file in whole.files.values())
    for share in (0.1, 0.4, 0.8):
        with small_disk(tmp_path / f"disk{share}", f"{round(share * kilobytes)}k") as disk:
            with pytest.raises(
                PatronError, match=r"cannot be written: .*(No space left|full).*nothing was kept"
            ):
                create.create(home, disk / "backup")
            assert list(disk.iterdir()) == []
    assert content(home) == before
    assert not list(home.path.glob("*.draft"))


def test_a_full_disk_in_the_middle_of_a_restore_leaves_the_old_home(home: Home, tmp_path: Path) -> None:
    create.create(home, tmp_path / "backup")
    before = content(home)
    with small_disk(tmp_path / "disk", "1200k") as disk:
        small = Home(disk / "home", home.database)
        shutil.copytree(home.path, small.path)
        Database(home).close()
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(free - (16 << 10)))
        with pytest.raises(PatronError, match="No space left on device; it is as before"):
            restore.restore(tmp_path / "backup", small, replacing=True)
        (disk / "filler").unlink()
        assert content(small) == before
        Database(small).close()


# Kinds of databases


def test_a_backup_of_a_file_is_restored_into_postgresql(tmp_path: Path, postgres_address: str) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, ZONE, "EUR")
    append(home, 1, 2)
    compaction.compact(home, Database(home))
    append(home, 3)
    create.create(home, tmp_path / "backup")
    server = Home(tmp_path / "server", postgres_address)
    restore.restore(tmp_path / "backup", server)
    assert orders(server) == [1, 2, 3]
    append(server, 3, 4)
    assert orders(server) == [1, 2, 3, 4]
    create.create(server, tmp_path / "of server")
    with pytest.raises(PatronError, match="is of a PostgreSQL database; set PATRON_DATABASE"):
        restore.restore(tmp_path / "of server", Home(tmp_path / "file"))


def test_a_folder_without_a_shop_or_a_full_target_is_refused(tmp_path: Path, file_home: Home) -> None:
    home = file_home
    with pytest.raises(NothingThere, match="there is no shop"):
        create.create(Home(tmp_path / "nothing"), tmp_path / "backup")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(PatronError, match="is not empty; pass a folder"):
        create.create(home, tmp_path / "full")
    assert (tmp_path / "full" / "mine").read_text() == "mine"


# Models and features


def test_models_and_their_champions_are_those_of_the_backup(trained_copy: Home, tmp_path: Path) -> None:
    from models.registry.connection import EXPERIMENT
    from models.registry.registry import Registry
    from models.registry.standing import CHAMPION

    home = trained_copy
    before = {name: Registry(home).champion(name).manifest for name in ("churn", "clv")}
    made = create.create(home, tmp_path / "backup")
    assert made.champions == Registry(home).champions(["churn", "clv", "propensity"])
    Registry(home).mlflow.client.delete_registered_model_alias("churn", CHAMPION)
    restored = restore.restore(tmp_path / "backup", home, replacing=True)
    assert restored.replaced
    # MLflow keeps the replaced file open in this process.
    assert local.champions_in(home.mlflow / local.TABLES) == made.champions
    with pytest.raises(NothingThere):  # features are computed again
        Store(home).reader(["orders_total"])
    # At another place, MLflow's own pages find the files, and training goes on.
    moved = Home(tmp_path / "moved")
    restore.restore(tmp_path / "backup", moved)
    registry = Registry(moved)
    assert {name: registry.champion(name).manifest for name in before} == before
    experiment = registry.mlflow.client.get_experiment_by_name(EXPERIMENT)
    assert experiment.artifact_location == (moved.mlflow / "artifacts").as_uri()
    run = registry.mlflow.client.get_run(registry.versions("clv")[0].run_id)
    assert (
        run.info.artifact_uri.startswith(f"{moved.mlflow}/") or moved.mlflow.as_uri() in run.info.artifact_uri
    )
    assert [file.path for file in registry.mlflow.client.list_artifacts(run.info.run_id, "bundle")]


def test_every_entry_of_a_home_is_stored_or_rebuilt(trained_shop: Home) -> None:
    """A new file of a home needs a decision: into a backup, or computed again."""
    known = {*parts.IDS, *parts.STORED, *parts.DATABASE_FILES, *parts.REBUILT, *parts.LOCKS}
    named = {
        value.relative_to(trained_shop.path).parts[0]
        for name, member in vars(Home).items()
        if isinstance(member, property) and isinstance(value := getattr(trained_shop, name), Path)
    }
    assert named <= known
    assert {path.name for path in trained_shop.path.iterdir()} <= known
