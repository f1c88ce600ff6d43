"""Who is who: ids that turn out to be one customer, against a second reading in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from core.home import Home
from core.storage.database import Database
from events.identity import ANONYMOUS, Identity, customers, ids, join, merges, read_merges

# A few, so that they meet: the company's own ids and devices'.
NAMES = st.sampled_from([*"uvwx", *(f"{ANONYMOUS}{name}" for name in "1234")])
JOINS = st.lists(st.tuples(NAMES, NAMES).filter(lambda pair: pair[0] != pair[1]), max_size=14)


@dataclass
class Oracle:
    """What ids mean, read from the words of the module."""

    key_of: dict[str, int] = field(default_factory=dict)
    name_of: dict[int, str] = field(default_factory=dict)
    merged: list[tuple[int, int, int]] = field(default_factory=list)  # who, into whom, when

    def join(self, earlier: str, later: str, at: int) -> int:
        of_somebody = self.has_own_id(earlier)
        if earlier in self.key_of and later not in self.key_of and not of_somebody:
            self.key_of[later] = self.key_of[earlier]
            if not later.startswith(ANONYMOUS):
                self.name_of[self.key_of[later]] = later
            return self.key_of[later]
        if later not in self.key_of:
            self.key_of[later] = len(self.name_of) + 1
            self.name_of[self.key_of[later]] = later
        into, before = self.key_of[later], self.key_of.get(earlier)
        self.key_of[earlier] = into
        if before not in (None, into) and not of_somebody:
            gone = [before, *(who for who, whom, _ in self.merged if whom == before)]
            self.merged += [(who, into, at) for who in gone]
            self.key_of = {i: into if key == before else key for i, key in self.key_of.items()}
        if self.name_of[into].startswith(ANONYMOUS) and not earlier.startswith(ANONYMOUS):
            self.name_of[into] = earlier
        return into

    def has_own_id(self, device: str) -> bool:
        if not device.startswith(ANONYMOUS) or device not in self.key_of:
            return False
        return not self.name_of[self.key_of[device]].startswith(ANONYMOUS)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with TemporaryDirectory() as folder:
        yield Database(Home(Path(folder)))


def replay(database: Database, joins: list[tuple[str, str]]) -> Oracle:
    """Join in a database that is emptied first, beside the oracle; they agree at every step."""
    oracle = Oracle()
    with database.writing() as connection:
        for table in (customers, ids, merges):
            connection.execute(sa.delete(table))
        for at, (earlier, later) in enumerate(joins):
            assert join(connection, earlier, later, at, 100 + at) == oracle.join(earlier, later, at)
            assert {row[0]: row[1] for row in connection.execute(sa.select(ids))} == oracle.key_of
            assert {row[0]: row[1] for row in connection.execute(sa.select(customers))} == oracle.name_of
            result = [(m.customer_key, m.into, m.at_us) for m in read_merges(connection)]
            assert result == sorted(oracle.merged, key=lambda m: (m[2], m[0], m[1]))
        seqs = {(row.at_us, row.seq) for row in connection.execute(sa.select(merges))}
        assert all(seq == 100 + at for at, seq in seqs)
    return oracle


@given(JOINS)
def test_ids_mean_what_the_oracle_says(database: Database, joins: list[tuple[str, str]]) -> None:
    oracle = replay(database, joins)
    gone = {who for who, _, _ in oracle.merged}
    assert not gone & set(oracle.key_of.values())  # no id leads to somebody who was merged
    assert len(oracle.merged) == len({(who, into) for who, into, _ in oracle.merged})
    for who, into, _ in oracle.merged:  # whoever was merged is also told as part of all that came of it
        onward = {b for a, b, _ in oracle.merged if a == into}
        assert onward <= {b for a, b, _ in oracle.merged if a == who}


@given(JOINS)
def test_told_again_nothing_new_is_merged_unless_a_device_changed_hands(
    database: Database, joins: list[tuple[str, str]]
) -> None:
    own = [(a, b) for a, b in joins if not {a[:10], b[:10]} & {ANONYMOUS}]
    once = replay(database, own)
    again = replay(database, own + own[-1:])
    assert (once.key_of, once.merged) == (again.key_of, again.merged)


@pytest.mark.parametrize("empty_home", ["postgresql"], indirect=True)
def test_a_server_says_the_same(empty_home: Home) -> None:
    named = [(f"{ANONYMOUS}1", "u"), (f"{ANONYMOUS}1", "v"), ("v", "w"), ("u", "w"), ("x", f"{ANONYMOUS}2")]
    oracle = replay(Database(empty_home), [*named, ("w", "x")])
    assert oracle.merged == [(1, 2, 3), (2, 3, 5), (1, 3, 5)]
    assert Identity(empty_home).ids([1, 2, 3, 4]) == {1: "u", 2: "w", 3: "x"}


def test_joins_that_race_leave_what_some_order_of_them_would(empty_home: Home) -> None:
    database = Database(empty_home)
    Identity(empty_home).assign(f"u{i}" for i in range(20))

    def chain(start: int) -> None:
        for i in range(19):
            at = (start + i) % 19
            with database.writing() as connection:
                join(connection, f"u{at}", f"u{at + 1}", i, i)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(chain, (0, 5, 10, 15)))
    identity = Identity(empty_home)
    (alive,) = set(identity.keys([f"u{i}" for i in range(20)]).values())
    result = identity.merges()
    assert {merge.customer_key for merge in result if merge.into == alive} == set(range(1, 21)) - {alive}
    assert len({(merge.customer_key, merge.into) for merge in result}) == len(result)


def test_ids_that_no_database_can_hold_are_nobodys(empty_home: Home) -> None:
    identity = Identity(empty_home)
    identity.assign(["a"])
    assert identity.keys(["a", "a\0", "\0"]) == {"a": 1}
    assert identity.keys(["a\0"]) == {}
