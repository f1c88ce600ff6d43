"""The lasting holdout: who belongs to it, over months, merges, other shares and rotations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from core.calendar import micros
from core.home import Home
from core.storage.database import Database
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import parse
from decisions.holdout import by_survivor, declare, draw, membership, shares_since
from events.identity import Identity, join
from records.decisions import DecisionLog
from records.results import holdout
from records.results.holdout import HoldoutPhase

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = "Europe/Berlin"
FILE = """
margin = 0.4
exploration_share = 0.0
{settings}
[[actions]]
name = "coupon"
channel = "email"
cost = 0.1
effect = {{ on = "propensity", times = 1.2 }}
"""


def actions(settings: str) -> Actions:
    return parse(FILE.format(settings=settings).encode(), "actions.toml")


@pytest.fixture
def log(empty_home: Home) -> Iterator[DecisionLog]:
    with DecisionLog(empty_home) as log:
        yield log


@pytest.fixture
def identity(empty_home: Home) -> Identity:
    identity = Identity(empty_home)
    identity.assign([f"C{n}" for n in range(1, 601)])
    return identity


EVERYONE = range(1, 601)


def members(log: DecisionLog, identity: Identity, now: datetime, keys: Any = EVERYONE) -> frozenset[int]:
    """The holdout at the first decision of these customers."""
    result = membership(log, identity, list(keys), now, ZONE)
    with log.writing() as connection:
        result.enrol(connection)
    return result.held_out


def test_membership_lasts_and_a_larger_share_moves_nobody_out(log: DecisionLog, identity: Identity) -> None:
    assert members(log, identity, NOON) == frozenset()
    declare(log, actions("holdout_share = 0.1"), NOON, ZONE)
    first = members(log, identity, NOON)
    assert 30 < len(first) < 95
    for days in (1, 31, 400):
        declare(log, actions("holdout_share = 0.1"), NOON + days * DAY, ZONE)
        assert members(log, identity, NOON + days * DAY) == first
    declare(log, actions("holdout_share = 0.3"), NOON + 400 * DAY, ZONE)
    grown = members(log, identity, NOON + 401 * DAY)
    assert first < grown
    declare(log, actions("holdout_share = 0.1"), NOON + 402 * DAY, ZONE)
    assert members(log, identity, NOON + 403 * DAY) == first
    declare(log, actions("holdout_share = 0.0"), NOON + 404 * DAY, ZONE)
    assert members(log, identity, NOON + 405 * DAY) == frozenset()
    assert [phase.share for phase in holdout.phases(log)] == [0.1, 0.3, 0.1, 0.0]


def test_it_begins_on_the_declared_day_of_the_shop_and_never_in_the_past(
    log: DecisionLog, identity: Identity
) -> None:
    later = actions("holdout_share = 0.5\nholdout_start = 2024-05-03")
    assert later.holdout_start == date(2024, 5, 3)
    declare(log, later, NOON, ZONE)
    midnight = datetime(2024, 5, 2, 22, tzinfo=UTC)
    assert members(log, identity, midnight - timedelta(seconds=1)) == frozenset()
    assert len(members(log, identity, midnight)) > 200
    declare(log, actions("holdout_share = 0.4\nholdout_start = 2020-01-01"), NOON + 9 * DAY, ZONE)
    assert [phase.at for phase in holdout.phases(log)] == [midnight, NOON + 9 * DAY]


def test_a_start_that_is_moved_before_it_came_replaces_the_first_one(log: DecisionLog) -> None:
    for day in ("2024-05-03", "2024-05-04"):
        declare(log, actions(f"holdout_share = 0.5\nholdout_start = {day}"), NOON, ZONE)
    (phase,) = holdout.phases(log)
    assert phase.at == datetime(2024, 5, 3, 22, tzinfo=UTC)


def test_only_a_rotation_draws_anew_and_independently(log: DecisionLog, identity: Identity) -> None:
    assert holdout.rotate(log, NOON) is None
    declare(log, actions("holdout_share = 0.3"), NOON, ZONE)
    first = members(log, identity, NOON)
    assert holdout.rotate(log, NOON + DAY) == HoldoutPhase(NOON + DAY, 2, 0.3)
    declare(log, actions("holdout_share = 0.3"), NOON + DAY, ZONE)
    second = members(log, identity, NOON + DAY)
    assert len(first & second) / len(first) == pytest.approx(0.3, abs=0.12)
    assert {e.customer_key for e in holdout.enrolments(log, 1, {})} == set(EVERYONE)


def test_a_preview_shows_the_group_and_enrols_nobody(log: DecisionLog, identity: Identity) -> None:
    declare(log, actions("holdout_share = 0.3"), NOON, ZONE)
    shown = membership(log, identity, list(EVERYONE), NOON, ZONE).held_out
    assert holdout.enrolments(log, 1, {}) == []
    assert members(log, identity, NOON) == shown
    assert membership(log, identity, list(EVERYONE), NOON, ZONE).held_out == shown


def test_draws_are_apart_from_the_salt_and_the_rotation() -> None:
    draws = [draw(bytes(32), rotation, key) for rotation in (1, 2) for key in EVERYONE]
    assert len({*draws, *(draw(b"x" * 32, 1, key) for key in EVERYONE)}) == 3 * len(EVERYONE)


@pytest.mark.parametrize("in_holdout", [True, False])
@pytest.mark.parametrize("first_remains", [True, False])
def test_who_was_enrolled_first_decides_after_a_merge(
    in_holdout: bool, first_remains: bool, log: DecisionLog, identity: Identity, empty_home: Home
) -> None:
    declare(log, actions("holdout_share = 0.5"), NOON, ZONE)
    first = next(key for key in EVERYONE if (draw(log.salt, 1, key) < 0.5) is in_holdout)
    second = next(key for key in EVERYONE if (draw(log.salt, 1, key) < 0.5) is not in_holdout)
    for key, now in ((first, NOON), (second, NOON + 3 * DAY)):
        members(log, identity, now, [key])
    remains, gone = (first, second) if first_remains else (second, first)
    with Database(empty_home).writing() as connection:
        join(connection, f"C{gone}", f"C{remains}", micros(NOON + 4 * DAY), 1)
    (merge,) = identity.merges([remains])
    assert (merge.customer_key, merge.into) == (gone, remains)
    assert (remains in members(log, identity, NOON + 5 * DAY, [remains])) is in_holdout
    (enrolment,) = holdout.enrolments(log, 1, by_survivor(identity.merges()))
    assert (enrolment.customer_key, enrolment.at) == (remains, NOON)


def test_a_device_that_becomes_a_known_customer_changes_nothing(
    log: DecisionLog, identity: Identity, empty_home: Home
) -> None:
    declare(log, actions("holdout_share = 0.5"), NOON, ZONE)
    identity.assign(["anonymous:a"])
    before = members(log, identity, NOON)
    device = identity.keys(["anonymous:a"])["anonymous:a"]
    members(log, identity, NOON, [device])
    with Database(empty_home).writing() as connection:
        for n in (1, 2):  # also into the second, since two people may use one device
            join(connection, "anonymous:a", f"C{n}", micros(NOON + DAY), n)
    assert members(log, identity, NOON + 2 * DAY) == before


def test_another_id_changes_nothing(log: DecisionLog, identity: Identity, empty_home: Home) -> None:
    declare(log, actions("holdout_share = 0.5"), NOON, ZONE)
    before = members(log, identity, NOON)
    with Database(empty_home).writing() as connection:
        join(connection, "C1", "new name", micros(NOON), 1)
    key = identity.keys(["new name"])["new name"]
    assert (key in members(log, identity, NOON + DAY, [key])) is (1 in before)


def test_customers_that_moved_when_the_share_changed_are_known() -> None:
    phases = [HoldoutPhase(NOON + n * DAY, 1, share) for n, share in enumerate((0.1, 0.3, 0.2))]
    enrolments = [holdout.Enrolment(1, NOON + days * DAY, 0, 0.5) for days in (0, 1, 2)]
    assert [shares_since(phases, e) for e in enrolments] == [(0.1, 0.3), (0.2, 0.3), (0.2, 0.2)]


def test_the_share_of_the_monthly_control_is_that_of_the_holdout() -> None:
    assert actions("control_share = 0.2").lasting_holdout_share == 0.2
    assert actions("control_share = 0.2\nholdout_share = 0.0").lasting_holdout_share == 0.0
    assert actions("").lasting_holdout_share == 0.0


def test_a_file_of_an_earlier_release_has_its_digest() -> None:
    """So standing decisions of the day on which Patron is upgraded still stand."""
    assert '"control_share": 0.1' in actions("control_share = 0.1").canonical
    assert "holdout" not in actions("control_share = 0.1").canonical
