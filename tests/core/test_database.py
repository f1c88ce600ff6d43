"""A home's database, in a file and on PostgreSQL: migrations, transactions and concurrency."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from benchmarks.harness.postgres import PostgresServer
from core.calendar import micros
from core.errors import NothingThere, PatronError, StoreUnavailable
from core.home import Home
from core.storage import batches, migrations
from core.storage import sqlite_file as database_file
from core.storage.database import METADATA, Database, Turn, insert
from core.storage.postgres import QUIET_SECONDS
from events import journal
from events.identity import Identity
from events.journal import Appended, Changes, Message, Refused, append
from events.journal.deduplication import message_digest, stored_lookup
from events.segment import quarantine
from records.tables import rules

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(empty_home: Home) -> Home:
    return empty_home


def python(home: Home, code: str, *words: str) -> subprocess.Popen[str]:
    """Run code in another process, with the home as ``home`` and the further arguments as ``words``."""
    head = (
        "import sys; from pathlib import Path; import sqlalchemy as sa\n"
        "from core.home import Home; from core.storage.database import *; from events.identity import *\n"
        "home, words = Home(Path(sys.argv[1]), sys.argv[2] or None), sys.argv[3:]\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + code, str(home.path), home.database or "", *words],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def answer(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.strip()


# Tables


def test_the_migrations_create_the_declared_tables(home: Home) -> None:
    for folder in ("events", "features", "records", "serving"):
        for path in (ROOT / folder).rglob("*.py"):
            if "    METADATA,\n" in path.read_text():  # it declares a table
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    with Database(home).writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert migrations.revision(connection) == migrations.HEAD


def test_the_migrations_form_one_chain_up_to_the_newest() -> None:
    names = sorted(path.stem for path in Path(migrations.__path__[0], "versions").glob("v*.py"))
    assert [name[1:5] for name in names] == [f"{n + 1:04}" for n in range(len(names))]
    assert names[-1][1:5] == migrations.HEAD


def test_reading_creates_no_file(home: Home) -> None:
    database = Database(home)
    with pytest.raises(NothingThere, match="import or simulate a shop first"), database.reading():
        pass
    assert not home.path.exists()
    if not database.on_postgres:
        home.path.mkdir()
        home.database_file.touch()  # as one who was interrupted would leave it
        with pytest.raises(NothingThere), database.reading():
            pass
        assert home.database_file.stat().st_size == 0
    database.prepare()
    Identity(home).assign(["a"])
    assert Identity(home).keys(["a", "b"]) == {"a": 1}


def test_processes_that_start_at_once_create_the_tables_once(home: Home) -> None:
    code = "Identity(home).assign(words); print(Identity(home).keys(words))"
    started = [python(home, code, f"c{i}", "all") for i in range(4)]
    keys = [eval(answer(process)) for process in started]
    assert len({result["all"] for result in keys}) == 1
    assert sorted({key for result in keys for key in result.values()}) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("use", ["reading", "writing", "prepare"])
def test_a_database_of_a_newer_patron_is_refused_with_the_reason(use: str, home: Home) -> None:
    database = Database(home)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    del database
    database = Database(home)
    with pytest.raises(PatronError, match=r"is of a newer Patron \(its tables are at 9999, this one knows"):
        database.prepare() if use == "prepare" else getattr(database, use)().__enter__()


def test_an_older_database_is_migrated_by_writers_only(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(home).prepare()
    monkeypatch.setattr(migrations, "HEAD", "9999")
    with (
        pytest.raises(PatronError, match=r"is of an older Patron .*; `patron doctor`"),
        Database(home).reading(),
    ):
        pass
    done = []

    def upgrade(connection: sa.Connection) -> None:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        done.append(True)

    monkeypatch.setattr(migrations, "upgrade", upgrade)
    for _ in range(2):
        with Database(home).writing():
            pass
    with Database(home).reading():
        assert done == [True]


# Transactions


def count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT count(*) FROM rules")).scalar_one())


def put(connection: sa.Connection, digest: str) -> None:
    connection.execute(insert(connection, rules).on_conflict_do_nothing(), {"digest": digest, "content": ""})


def test_a_transaction_is_atomic(home: Home) -> None:
    database = Database(home)
    with database.writing() as connection:
        put(connection, "a")
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        [put(connection, digest) or 1 / (digest == "b") for digest in ("b", "c")]
    with database.reading() as connection:
        assert count(connection) == 1


def test_a_reader_sees_a_consistent_snapshot(home: Home) -> None:
    database = Database(home)
    database.prepare()
    with database.reading() as reader:
        assert count(reader) == 0
        with database.writing() as writer:
            put(writer, "a")
        assert count(reader) == 0
    with database.reading() as reader:
        assert count(reader) == 1


@pytest.mark.parametrize("durable", [True, False])
def test_committed_data_survive_a_killed_process(durable: bool, home: Home) -> None:
    code = (
        "from records.tables import rules\n"
        "for n in range(10**9):\n"
        f"    with Database(home).writing(durable={durable}) as connection:\n"
        "        connection.execute(sa.insert(rules), {'digest': str(n), 'content': ''})\n"
        "    print(n, flush=True)\n"
    )
    killed = python(home, code)
    assert killed.stdout is not None
    text_value = [killed.stdout.readline() for _ in range(50)]
    killed.send_signal(signal.SIGKILL)
    text_value += [line for line in killed.stdout if line.endswith("\n")]
    killed.wait()
    killed.stdout.close()
    with Database(home).reading() as connection:
        assert len(text_value) <= count(connection) <= len(text_value) + 1


def test_only_durable_transactions_wait_for_the_disk(home: Home) -> None:
    database = Database(home)
    for durable in (True, False, True):
        with database.writing(durable=durable) as connection:
            if database.on_postgres:
                assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == (
                    "on" if durable else "off"
                )
            else:
                assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == (2 if durable else 1)


def test_writers_of_one_turn_wait_for_each_other_and_on_a_server_only_they(home: Home) -> None:
    database = Database(home)
    database.prepare()
    order: list[str] = []

    def write(name: str, turn: Turn) -> None:
        with database.writing(turn):
            order.append(name)

    with ThreadPoolExecutor(2) as pool:
        with database.writing(Turn.EVENTS):
            same = pool.submit(write, "same", Turn.EVENTS)
            other = pool.submit(write, "other", Turn.DECISIONS)
            if database.on_postgres:
                other.result(timeout=60)
            order.append("first")
        same.result(timeout=60)
        other.result(timeout=60)
    assert order.index("first") < order.index("same")
    assert (order[0] == "other") is database.on_postgres


# The journal


def message_of(message_id: str, customer: str, joins: str | None = None) -> Message:
    return Message(message_id, NOON, customer, joins, {"traits": [[0, 0, 0, "plan", message_id]]})


def test_messages_are_deduplicated_and_numbers_are_never_reused(home: Home) -> None:
    database = Database(home)
    refused = [Refused(NOON, "no customer", "{}")]
    done = append(
        database,
        [message_of("a", "ann"), message_of("a", "bob"), message_of("b", "ann")],
        refused,
        compacted_seq=0,
    )
    assert done == Appended(new=2, repeated=1, refused=1)
    assert append(database, [message_of("b", "ann"), message_of("c", "ann")], compacted_seq=0) == Appended(
        1, 1, 0
    )
    assert journal.last(database) == 3
    assert Identity(home).keys(["ann", "bob"]) == {"ann": 1}
    journal.forget(database, 3)
    assert append(database, [message_of("c", "ann"), message_of("d", "cid")], compacted_seq=0) == Appended(
        1, 1, 0
    )
    assert journal.changes(database, 0) == Changes(4, [2], [], micros(NOON))
    assert journal.last(database) == 4


def test_quarantined_messages_are_deduplicated_by_id_only(home: Home) -> None:
    database = Database(home)
    bad = [Refused(NOON, "no customer", text, id) for text, id in (("1", "a"), ("2", None), ("3", "b"))]
    append(database, [], bad, compacted_seq=0)
    append(
        database,
        [message_of("a", "ann")],
        [bad[0], bad[1], Refused(NOON, "otherwise", "4", "b")],
        compacted_seq=0,
    )
    assert [entry.reason for entry in quarantine.entries(database, 9)] == ["no customer"] * 4
    assert journal.last(database) == 1


def test_numbers_continue_after_those_in_the_lake(home: Home) -> None:
    database = Database(home)
    append(database, [message_of("a", "ann")], compacted_seq=0)
    journal.advance_to(database, 7)
    append(database, [message_of("b", "ann")], compacted_seq=0)
    journal.advance_to(database, 3)
    assert journal.last(database) == 8
    assert journal.changes(database, 7).customer_keys == [1]


def test_a_merge_is_a_change_of_both_customers(home: Home) -> None:
    database = Database(home)
    append(
        database,
        [message_of("a", "ann"), message_of("b", "bob"), message_of("c", "bob", joins="ann")],
        compacted_seq=0,
    )
    assert journal.changes(database, 0) == Changes(3, [2], [1], micros(NOON))
    assert journal.changes(database, 2) == Changes(3, [2], [1], micros(NOON))
    assert [(m.customer_key, m.into) for m in Identity(home).merges()] == [(1, 2)]
    assert len(journal.tail(database, 0, customer_keys=[1])["traits"]) == 1


APPENDING = """
from datetime import UTC, datetime
from events.journal import Message, append
database, at = Database(home), datetime(2024, 5, 1, 12, tzinfo=UTC)
for n in range(30):
    own = Message(f"{words[0]}-{n}", at, f"c{n % 7}", None, {"traits": [[0, 0, 0, "plan", "own"]]})
    shared = Message(f"shared {n}", at, f"s{n % 5}", None, {"traits": [[0, 0, 0, "plan", "shared"]]})
    append(database, [own, shared] if int(words[0]) % 2 else [shared, own], compacted_seq=0)
"""


def test_processes_that_append_at_once_lose_nothing_and_number_as_they_commit(home: Home) -> None:
    database = Database(home)
    database.prepare()
    writers = [python(home, APPENDING, str(n)) for n in range(3)]
    seen, upto = [0], 0
    while any(writer.poll() is None for writer in writers):
        # A reader that has read up to a number has read all lower ones: none appears later.
        with database.reading() as connection:
            numbers = connection.execute(sa.select(journal.journal.c.seq)).scalars().all()
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        upto = journal.changes(database, upto).upto
        seen.append(upto)
        time.sleep(0.01)  # leaves processor time to the writers
    assert [answer(writer) for writer in writers] == [""] * 3
    assert seen == sorted(seen)
    assert journal.last(database) == 3 * 30 + 30
    traits = journal.tail(database, 0)["traits"].to_pylist()
    assert Counter(row["value"] for row in traits) == {"own": 90, "shared": 30}
    assert set(
        Identity(home).keys([f"c{n}" for n in range(7)] + [f"s{n}" for n in range(5)]).values()
    ) == set(range(1, 13))


def test_a_server_stores_what_a_file_stores_of_any_batches(postgres_address: str, tmp_path: Path) -> None:
    """A server stores batches without anything unusual by one statement, and the others in steps."""
    homes = Home(tmp_path / "file"), Home(tmp_path / "server", postgres_address)
    rng, usual = random.Random(5), 0
    for _ in range(60):
        batch = [any_message(rng) for _ in range(rng.randint(1, 4))]
        ends = [append(Database(home), batch, compacted_seq=0) for home in homes]
        assert ends[0] == ends[1]
        usual += ends[1].new == len(batch) > 1
    assert usual > 10
    names = (
        "journal",
        "journal_counter",
        "messages",
        "message_conflicts",
        "customer_ids",
        "customers",
        "merges",
    )
    file, server = ([rows_of(home, METADATA.tables[name]) for name in names] for home in homes)
    assert file == server


def any_message(rng: random.Random) -> Message:
    """A message of one of ten customers, who use few devices; some repeat an earlier one."""
    number, customer = rng.randrange(400), f"c{rng.randrange(10)}"
    joins = f"anonymous:d{rng.randrange(20)}" if rng.random() < 0.3 else None
    previous = f"c{rng.randrange(10)}" if rng.random() < 0.02 else None
    rows = {"traits": [[0, 0, 0, "plan", str(number)]]}
    return Message(f"m{number}", NOON, customer, joins, rows, previous, bytes([number % 7]))


def rows_of(home: Home, table: sa.Table) -> list[tuple[Any, ...]]:
    with Database(home).reading() as connection:
        return sorted(tuple(row) for row in connection.execute(sa.select(table)))


# Connections


def test_users_in_a_process_share_the_connections_while_any_is_open(home: Home) -> None:
    one, other = Database(home), Database(home)
    assert one._connections is other._connections
    one.prepare()
    one.close()
    with one.reading() as connection, other.reading() as other_value:  # closed is not ended
        assert count(connection) == count(other_value) == 0
    engine = one._connections.engine
    assert engine.pool.checkedin() == 2
    del one, other
    assert engine.pool.checkedin() == 0


def test_threads_share_it(home: Home) -> None:
    database = Database(home)
    barrier = threading.Barrier(20)

    def write(n: int) -> int:
        barrier.wait()
        with database.writing(Turn.ANY) as connection:
            put(connection, str(n))
        with database.reading() as connection:
            return count(connection)

    with ThreadPoolExecutor(20) as pool:
        seen = list(pool.map(write, range(20)))
    assert max(seen) == 20


def test_parent_and_child_work_after_a_fork(home: Home) -> None:
    code = (
        "import os\n"
        "identity = Identity(home); identity.assign(['before'])\n"
        "child = os.fork()\n"
        "identity.assign(['child' if child == 0 else 'parent'])\n"
        "found = set(identity.keys(['before', 'child' if child == 0 else 'parent']).values())\n"
        "assert len(found) == 2\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    print(sorted(identity.table()['customer_id'].to_pylist()))\n"
    )
    assert answer(python(home, code)) == "['before', 'child', 'parent']"


def test_connections_recover_after_a_restart_of_the_server(
    postgres: PostgresServer, postgres_address: str, tmp_path: Path
) -> None:
    database = Database(Home(tmp_path, postgres_address))
    with database.writing() as connection:
        put(connection, "a")
    postgres.stop()
    try:
        text_value = (
            r"database postgresql://127\.0\.0\.1:\d+/shop_\d+ cannot be used: .*; see that the server runs"
        )
        for use in (database.reading, database.writing):
            with pytest.raises(PatronError, match=text_value) as refused, use():
                pass
            assert "patron:" not in str(refused.value)
    finally:
        postgres.start()
    with database.writing() as connection:
        put(connection, "b")
        assert count(connection) == 2


@pytest.mark.parametrize(
    "address",
    ["mysql://me:secret@host/shop", "sqlite:///shop.db", "postgresql://me:secret@host:port/x", "host", "",
     "postgresql://me:secret@host", "postgresql+psycopg2://me:secret@host/shop"],
)  # fmt: skip
def test_an_address_of_something_else_is_refused_without_its_password(address: str, tmp_path: Path) -> None:
    with pytest.raises(PatronError, match="PATRON_DATABASE is not the address of a database") as refused:
        Database(Home(tmp_path, address))
    assert "secret" not in str(refused.value)


# The file


@pytest.fixture
def file_home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    Identity(home).assign(["a"])
    return home


def test_the_file_is_private_and_complete_once_closed(file_home: Home) -> None:
    assert stat.S_IMODE(file_home.database_file.stat().st_mode) == 0o600
    assert {path.name for path in file_home.path.iterdir()} == {"patron.db", "home.id"}


def test_a_damaged_file_is_refused_with_the_reason_and_its_replacement_is_opened(file_home: Home) -> None:
    identity = Identity(file_home)
    assert identity.keys(["a"]) == {"a": 1}
    file = file_home.database_file
    file.rename(file.with_suffix(".away"))
    with pytest.raises(PatronError, match="import or simulate"):
        identity.keys(["a"])
    file.write_bytes(b"no database at all" * 500)
    with pytest.raises(
        PatronError, match=r"the database .*patron\.db cannot be used: .*; restore it from a backup"
    ):
        identity.keys(["a"])
    os.replace(file.with_suffix(".away"), file)
    assert identity.keys(["a"]) == {"a": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the right to mount")
def test_a_home_on_a_disk_that_cannot_be_written_is_read(file_home: Home, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True)
    if mount.returncode:
        pytest.skip("nothing can be mounted here")
    home = Home(disk)
    try:
        for file in (file_home.database_file, file_home.id_file):
            shutil.copy(file, disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert Identity(home).keys(["a"]) == {"a": 1}
        with pytest.raises(PatronError, match=r"cannot be used: .*[Rr]ead-?only"):
            Identity(home).assign(["b"])
    finally:
        Database(home).close()
        subprocess.run(["umount", disk], check=True)


def test_the_write_ahead_log_does_not_stay_large(file_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "LARGEST_WAL_BYTES", 2**20)
    database = Database(file_home)
    rows = [{"digest": f"{n}", "content": "x" * 4000} for n in range(2000)]
    with database.reading() as reader:
        count(reader)  # who reads keeps the log from ending
        with database.writing() as connection:
            connection.execute(sa.insert(rules), rows)
    log = file_home.path / "patron.db-wal"
    assert log.stat().st_size > 2**20
    for n in range(2):
        with database.writing() as connection:
            put(connection, f"small {n}")
    assert log.stat().st_size <= 2**20


def test_a_statement_may_take_long_on_a_server_that_answers(postgres_address: str, tmp_path: Path) -> None:
    database = Database(Home(tmp_path, postgres_address))
    database.prepare()
    assert database.first(f"SELECT 1 FROM pg_sleep({3 * QUIET_SECONDS})", ()) == (1,)


def test_batches_are_looked_up_by_an_index_also_if_tables_were_empty_at_first(
    postgres_address: str, tmp_path: Path
) -> None:
    """The plans of a connection stay those of nearly empty tables, until PostgreSQL analyzes the tables."""
    database = Database(Home(tmp_path / "home", postgres_address))
    for number in range(12):  # the driver and the server keep plans after several executions
        batch = [Message(f"m{number}-{n}", NOON, f"c{number}-{n}") for n in range(100)]
        append(database, batch, compacted_seq=0)
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'messages'"
    digests = [message_digest(f"x{n}") for n in range(100)]
    with database.writing() as connection:
        before = connection.exec_driver_sql(scans).scalar()
        assert batches.fetch(connection, [stored_lookup(digests)]) == [[]]
        assert connection.exec_driver_sql(scans).scalar() == before


def test_a_connection_that_the_server_ended_is_replaced(
    postgres: PostgresServer, postgres_address: str, tmp_path: Path
) -> None:
    database = Database(Home(tmp_path, postgres_address))
    with database.writing() as connection:
        put(connection, "a")
    name = postgres_address.rpartition("/")[2]
    postgres.execute(
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    with database.writing() as connection:
        put(connection, "b")
        assert count(connection) == 2


def test_a_server_that_hangs_is_noticed_once_and_used_again(
    postgres: PostgresServer, postgres_address: str, tmp_path: Path
) -> None:
    database = Database(Home(tmp_path, postgres_address))
    with database.writing() as connection:
        put(connection, "a")
    with postgres.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            database.first("SELECT 1", ())
        noticed = time.monotonic()
        assert noticed - started < 30
        with pytest.raises(StoreUnavailable, match="cannot be used"), database.reading():
            pass
        assert time.monotonic() - noticed < QUIET_SECONDS
    deadline = time.monotonic() + 30
    while True:
        try:
            with database.writing() as connection:
                put(connection, "b")
                assert count(connection) == 2
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
