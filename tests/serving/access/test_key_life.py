"""How long keys live: they expire, are rotated with an overlap, and are taken over from older databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage import migrations
from core.storage.database import Database
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access.authentication import check
from serving.access.key import span
from serving.access.keys import KeyExpired, Keys
from serving.app import create_app
from serving.operations.doctor import keys as doctor
from serving.scores.scorer import Scorer

NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass
class Wall:
    """A clock that stands until it is moved."""

    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def home(empty_home: Home, wall: Wall) -> Home:
    return replace(empty_home, wall=wall)


@pytest.fixture
def keys(home: Home) -> Iterator[Keys]:
    """The keys of a new home, by a clock that the test moves."""
    with closing(Keys(home, recheck_seconds=0)) as keys:
        yield keys


def states(keys: Keys) -> list[tuple[str, str]]:
    return [(key.name, key.state(keys.now())) for key in keys.all()]


# Expiry


def test_a_key_opens_until_it_expires_and_its_holder_is_told_when(keys: Keys, wall: Wall) -> None:
    key, secret = keys.create("crm", ["all"], 90 * DAY)
    assert key.expires == NOON + 90 * DAY
    wall.at = key.expires - SECOND
    assert keys.find(secret) == key
    assert keys.living() == [key]
    wall.at = key.expires
    with pytest.raises(
        KeyExpired, match=r"the key 'crm' expired at 2027-05-01 12:00 UTC; `patron keys rotate`"
    ):
        keys.find(secret)
    assert keys.find(secret[:-1] + "!") is None  # only whoever has the key learns that there was one
    assert keys.living() == []
    assert states(keys) == [("crm", "expired")]
    assert "expired 2027-05-01 12:00" in key.line(wall.at)


def test_a_key_without_a_lifetime_lives_for_ever(keys: Keys, wall: Wall) -> None:
    key, secret = keys.create("crm", ["all"])
    wall.at += 36_500 * DAY
    assert keys.find(secret) == key
    assert key.line(wall.at).endswith("made 2027-01-31 12:00")


def test_a_key_that_expires_is_known_between_two_looks_at_the_database(home: Home, wall: Wall) -> None:
    with closing(Keys(home, recheck_seconds=1e9)) as patient:
        _, secret = patient.create("crm", ["all"], timedelta(hours=24))
        assert patient.find(secret)
        wall.at += DAY
        assert patient.fresh
        with pytest.raises(KeyExpired):
            patient.find(secret)


def test_the_name_of_an_expired_key_is_free(keys: Keys, wall: Wall) -> None:
    _, old = keys.create("crm", ["all"], DAY)
    with pytest.raises(PatronError, match="there is a valid key 'crm'"):
        keys.create("crm", ["all"])
    wall.at += DAY
    key, secret = keys.create("crm", ["scores"])
    assert keys.find(secret) == key
    with pytest.raises(KeyExpired):
        keys.find(old)
    assert states(keys) == [("crm", "expired"), ("crm", "current")]
    assert [result.prefix for result in keys.revoke("crm")] == [key.prefix]


@pytest.mark.parametrize(("text", "is_span"), [
    ("90d", 90 * DAY), ("24h", DAY), (" 7d ", 7 * DAY), ("0h", timedelta(0)), ("99999d", 99_999 * DAY),
])  # fmt: skip
def test_spans_are_told_in_days_or_hours(text: str, is_span: timedelta) -> None:
    assert span(text) == is_span


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5d", "90m", "90 d", "100000d", "٣d", "1d1h"])
def test_what_is_no_span_is_refused_in_words(text: str) -> None:
    with pytest.raises(PatronError, match="is not a time span; write days or hours, such as 90d or 24h"):
        span(text)


@pytest.mark.parametrize(("lifetime", "per_minute", "words"), [
    (timedelta(0), None, "lifetime must be above 0"), (-DAY, None, "lifetime must be above 0"),
    (None, 0, "1 to 1,000,000 requests a minute"), (None, 1_000_001, "1 to 1,000,000 requests a minute"),
])  # fmt: skip
def test_terms_that_cannot_be_are_refused(
    lifetime: timedelta | None, per_minute: int | None, words: str, keys: Keys
) -> None:
    with pytest.raises(PatronError, match=words):
        keys.create("crm", ["all"], lifetime, per_minute)
    assert keys.all() == []


# Rotation


def test_a_rotated_key_works_beside_the_new_one_until_the_overlap_is_over(keys: Keys, wall: Wall) -> None:
    first, old = keys.create("crm", ["scores", "decisions"], 90 * DAY, 600)
    wall.at += 80 * DAY
    made, new, replaced = keys.rotate("crm", DAY)
    assert old != new
    assert (made.name, made.scopes, made.per_minute) == ("crm", first.scopes, 600)
    assert made.expires == wall.at + 90 * DAY  # as long as the first one was given
    assert (replaced.prefix, replaced.expires, replaced.replaced) == (first.prefix, wall.at + DAY, wall.at)
    assert keys.all() == [replaced, made]
    assert (keys.find(old), keys.find(new)) == (replaced, made)
    assert states(keys) == [("crm", "replaced"), ("crm", "current")]
    assert ", 600 a minute, replaced, works until 2027-04-22 12:00" in replaced.line(wall.at)
    assert ", 600 a minute, expires 2027-07-20 12:00" in made.line(wall.at)
    wall.at += DAY
    with pytest.raises(KeyExpired):
        keys.find(old)
    assert keys.find(new) == made
    assert states(keys) == [("crm", "expired"), ("crm", "current")]


def test_an_overlap_does_not_lengthen_a_life_and_none_ends_it(keys: Keys, wall: Wall) -> None:
    first, _ = keys.create("crm", ["all"], timedelta(hours=2))
    assert keys.rotate("crm", DAY)[2].expires == first.expires
    _, old, _ = keys.rotate("crm", DAY)
    _, new, _ = keys.rotate("crm", timedelta(0))
    with pytest.raises(KeyExpired):
        keys.find(old)
    assert keys.find(new)
    assert [state for _, state in states(keys)] == ["replaced", "replaced", "expired", "current"]


def test_an_expired_key_can_be_rotated_and_a_key_for_ever_stays_one(keys: Keys, wall: Wall) -> None:
    keys.create("crm", ["all"], DAY)
    ever, _ = keys.create("shop", ["events"])
    wall.at += 2 * DAY
    made, secret, old = keys.rotate("crm", DAY)
    assert keys.find(secret) == made
    assert old.expires == NOON + DAY
    assert keys.rotate(ever.prefix, DAY)[0].expires is None


def test_revoking_a_name_ends_all_its_keys_and_a_prefix_one(keys: Keys) -> None:
    _, first = keys.create("crm", ["all"])
    second = keys.rotate("crm", DAY)[1]
    third = keys.rotate("crm", DAY)[1]
    _, other = keys.create("shop", ["all"])
    assert [key.name for key in keys.revoke(first)] == ["crm"]
    assert keys.find(first) is None
    assert keys.find(second)
    assert len(keys.revoke("crm")) == 2
    assert keys.find(second) is keys.find(third) is None
    assert keys.find(other)
    with pytest.raises(PatronError, match="no valid key has the name or prefix 'crm'"):
        keys.revoke("crm")
    with pytest.raises(PatronError, match="no key that could be rotated"):
        keys.rotate("crm", DAY)


def test_rotating_what_is_not_there_is_refused_and_makes_nothing(keys: Keys, home: Home) -> None:
    with pytest.raises(PatronError, match="no key that could be rotated has that name"):
        keys.rotate("crm", DAY)
    assert not home.path.exists()


def test_of_two_who_rotate_at_once_one_is_told(
    keys: Keys, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create("crm", ["all"])
    known = keys.all()
    keys.rotate("crm", DAY)
    late = Keys(home)
    monkeypatch.setattr(late, "all", lambda: known)
    with pytest.raises(PatronError, match="the key 'crm' was rotated or revoked meanwhile"):
        late.rotate("crm", DAY)
    assert len(keys.all()) == 2


# What holds of it elsewhere


def application(home: Home, keys: Keys) -> FastAPI:
    home.write_shop(Shop("events", "UTC", "EUR", Clock()))
    scorer = cast(
        Scorer,
        SimpleNamespace(
            home=home,
            identity=Identity(home),
            shop=home.shop(),
            champions=NO_MODELS,
            freshness=FreshnessMonitor(home),
            close=lambda: None,
        ),
    )
    return create_app(scorer, ScoreLog(home), keys=keys, keys_needed=True)


def test_over_http_an_expired_key_is_answered_401_and_told_so(keys: Keys, home: Home, wall: Wall) -> None:
    app = application(home, keys)
    _, secret = keys.create("crm", ["all"], DAY)

    def ask() -> httpx.Response:
        async def request() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://patron"
            ) as client:
                return await client.get("/v1/models", headers={"authorization": f"Bearer {secret}"})

        return asyncio.run(request())

    assert ask().status_code == 200
    wall.at += DAY
    refused = ask()
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "the key 'crm' expired at 2027-02-01 12:00 UTC" in refused.json()["detail"]


def test_an_expired_key_lets_no_service_start_where_others_can_ask(keys: Keys, wall: Wall) -> None:
    keys.create("crm", ["all"], DAY)
    check(keys, "0.0.0.0", on_loopback=False)
    wall.at += DAY
    with pytest.raises(PatronError, match="there is no valid"):
        check(keys, "0.0.0.0", on_loopback=False)


def test_the_doctor_warns_of_what_expires_within_two_weeks(keys: Keys, home: Home, wall: Wall) -> None:
    keys.create("crm", ["all"], 90 * DAY)
    keys.create("shop", ["events"])
    assert [(check.state, check.result) for check in doctor(home)] == [("ok", "2 open something")]
    wall.at += 76 * DAY
    _, warned = doctor(home)
    assert (warned.state, warned.result) == ("warning", "the key 'crm' expires at 2027-05-01 12:00 UTC")
    assert "`patron keys rotate`" in warned.advice
    keys.rotate("crm", DAY)  # the old one may go now
    assert [check.result for check in doctor(home)] == ["3 open something"]


def test_keys_of_an_older_database_live_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(migrations, "HEAD", "0002")
        with Database(home).writing() as connection:
            for name, digest in (("crm", b"1"), ("gone", b"2")):
                connection.execute(
                    sa.text("INSERT INTO keys (prefix, digest, name, scopes, created, revoked)"
                            " VALUES (:name, :digest, :name, 'all', :at, :revoked)"),
                    {"name": name, "digest": digest, "at": NOON.isoformat(),
                     "revoked": NOON.isoformat() if name == "gone" else None},
                )  # fmt: skip
    Database(home).prepare()
    keys = Keys(home)
    assert states(keys) == [("crm", "current"), ("gone", "revoked")]
    with pytest.raises(PatronError, match="there is a valid key 'crm'"):
        keys.create("crm", ["all"])
    assert keys.rotate("crm", DAY)[0].expires is None
