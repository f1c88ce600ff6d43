"""Checks of a home: what can be reached, of which versions, and what lags behind."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.calendar import day_of, moment
from core.errors import NothingThere, in_words
from core.home import Home
from core.shop import Shop

OK, WARNING, FAILED = "ok", "warning", "failed"
SAMPLE = 1000  # customers whose online rows are looked at
TAIL_LIVES = timedelta(hours=24)  # by when the lake should hold what came into the journal
TAIL_MESSAGES = 1_000_000
NEARLY_FULL = 0.8  # share of a limit of the quarantine


@dataclass(frozen=True)
class Check:
    """The result of a check, without credentials or personal data.

    Attributes:
        part: what was checked. state: ``ok``, ``warning`` or ``failed``.
        advice: what to do; empty if nothing.
    """

    part: str
    state: str
    result: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """The check for JSON."""
        return {"part": self.part, "state": self.state, "found": self.result, "advice": self.advice}


def run(parts: Mapping[str, Callable[[Home], Iterable[Check]]], home: Home) -> list[Check]:
    """Check parts of a home, each even if the check of another fails."""
    checks: list[Check] = []
    for name, part in parts.items():
        try:
            checks += part(home)
        except Exception as error:
            checks.append(Check(name, FAILED, in_words(error)))
    return checks


def versions(_home: Home) -> Iterator[Check]:
    """What runs here."""
    import duckdb

    import features

    versions_by_name = {
        "Patron": features.__version__,
        "Python": platform.python_version(),
        "DuckDB": duckdb.__version__,
    }
    yield Check("versions", OK, ", ".join(f"{name} {version}" for name, version in versions_by_name.items()))


def database(home: Home) -> Iterator[Check]:
    """The database, which is brought up to date if the home has a shop."""
    from core import home_id
    from core.storage import migrations
    from core.storage.database import Database

    if not home.has_database:
        raise NothingThere(f"there is no database in {home.path}; import or simulate a shop first")
    database = Database(home)
    if home_id.has_shop(home):
        database.prepare()
    try:
        with database.reading() as connection:
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
            kind, step = "PostgreSQL" if database.on_postgres else "SQLite", migrations.revision(connection)
    except NothingThere:  # without a shop its tables are not created
        yield Check("database", OK, f"{database.name} is empty")
        return
    yield Check("database", OK, f"{kind} {version}, tables at step {step}, {database.name}")


def shop(home: Home) -> Iterator[Check]:
    """The shop's settings and its lake."""
    from events import lake

    shop = home.shop()
    clock = (
        "wall time"
        if shop.clock.frozen_at is None
        else f"stands at {shop.clock.frozen_at:%Y-%m-%d %H:%M} UTC"
    )
    yield Check("shop", OK, f"{shop.source}, {shop.currency}, {shop.time_zone}, the clock: {clock}")
    lake.read(home, lake.backend_of(home))
    metadata = lake.metadata(home)
    span = f"from {metadata.first_date} to {metadata.last_date}"
    yield Check("lake", OK, f"{metadata.orders:,} orders {span}")


def orders(home: Home) -> Iterator[Check]:
    """Orders that were stated more than once, refunds that wait, and what was given back too much."""
    from events.queries.order_counts import order_counts
    from events.warehouse import is_in_warehouse

    if is_in_warehouse(home):  # which states each order as it is now
        return
    counts = order_counts(home)
    if counts.corrected or counts.cancelled:
        result = f"{counts.corrected:,} have several versions, {counts.cancelled:,} are cancelled"
        yield Check("orders", OK, result)
    if counts.waiting:
        result = f"{counts.waiting:,} refunds and cancellations name an order that was not received"
        yield Check("orders", WARNING, result, "send or import these orders; the refunds wait for them")
    if counts.surplus:
        result = (
            f"{counts.surplus:,.2f} {home.shop().currency} of {counts.surplus_orders:,} orders were given"
            " back beyond what the orders brought, and do not count"
        )
        yield Check("orders", WARNING, result, "compare the refunds of these orders with the books")


def journal(home: Home) -> Iterator[Check]:
    """How much the lake does not hold yet, and since when."""
    import sqlalchemy as sa

    from core.storage.database import Database
    from events import lake
    from events.journal import journal as event_table

    after = lake.metadata(home).compacted_seq
    query = sa.select(sa.func.count(), sa.func.min(event_table.c.received_at_us)).where(
        event_table.c.seq > after
    )
    with Database(home).reading() as connection:
        count, oldest_us = connection.execute(query).one()
    if not count:
        yield Check("journal", OK, "the lake holds all of it")
        return
    waits = datetime.now(UTC) - moment(oldest_us)
    late = waits > TAIL_LIVES or count > TAIL_MESSAGES
    result = f"{count:,} messages that the lake does not hold yet, the oldest for {_time(waits)}"
    advice = "nothing has moved them into the lake; see that `patron serve` runs" if late else ""
    yield Check("journal", WARNING if late else OK, result, advice)


def quarantine(home: Home) -> Iterator[Check]:
    """How much waits in the quarantine, and how full it is."""
    from core.settings import FeatureSettings
    from core.storage.database import Database
    from events.segment.retention import MEGABYTE, QuarantineLimits, size

    limits, current = QuarantineLimits.of(FeatureSettings()), size(Database(home))
    if current.oldest is None:
        yield Check("quarantine", OK, "empty")
        return
    events = "1 event" if current.events == 1 else f"{current.events:,} events"
    result = (
        f"{events} that cannot be used, {current.bytes / MEGABYTE:,.1f} MB, the oldest since"
        f" {current.oldest:%Y-%m-%d}; at most {limits.events:,} events, {limits.bytes // MEGABYTE:,} MB and"
        f" {limits.age.days} days"
    )
    full = current.share_of(limits) >= NEARLY_FULL
    advice = "the oldest are deleted first; " if full else ""
    advice += "`patron quarantine list` says why"
    yield Check("quarantine", WARNING, result, advice)


def identity(home: Home) -> Iterator[Check]:
    """Ids that may be one customer's, and message ids that came with two bodies."""
    from core.storage.database import Database
    from events.identity import Identity
    from events.journal import count_conflicts

    database = Database(home)
    look_alikes, conflicts = Identity(home, database).look_alikes(), count_conflicts(database)
    if look_alikes:
        result = f"{look_alikes:,} customers whose ids differ only in case or blanks from another customer's"
        yield Check("identity", WARNING, result, "see that every source writes an id in the same way")
    if conflicts:
        result = f"{conflicts:,} messages came with the messageId of another message; each was stored"
        yield Check("identity", WARNING, result, "the client must give each message an id of its own")
    if not look_alikes and not conflicts:
        yield Check("identity", OK, "every id is spelt in one way, and every messageId is one message's")


def snapshots(home: Home) -> Iterator[Check]:
    """The present features as they were last built."""
    from features.offline.current import load_current

    yield _of_today("snapshots", home.shop(), load_current(home).as_of, "everyone as of")


def online(home: Home) -> Iterator[Check]:
    """The online rows: of how many customers, and as of when."""
    from features.catalogue.store import open_online
    from features.groups import groups_of
    from features.online.packed import moment_of

    store = open_online(home)
    keys = sorted(store.keys())
    sample = keys[:: max(1, len(keys) // SAMPLE)]
    cells = store.read(sample, [group.name for group in groups_of(home)])
    moments = [moment_of(cell) for column in cells for cell in column if cell]
    result = f"{store.version}, {len(keys):,} customers"
    if not moments:
        yield Check("online store", WARNING, result, "run `patron build`")
        return
    yield _of_today("online store", home.shop(), moment(min(moments)), f"{result}, the oldest row as of")


PARTS = {
    "versions": versions, "database": database, "shop": shop, "orders": orders,
    "journal": journal, "identity": identity, "quarantine": quarantine, "snapshots": snapshots,
    "online store": online,
}  # fmt: skip


def _of_today(part: str, shop: Shop, as_of: datetime, words: str) -> Check:
    """Features of an earlier day are late: their windows have moved on."""
    late = shop.today() - day_of(as_of, shop.time_zone)
    result = f"{words} {as_of:%Y-%m-%d %H:%M} UTC"
    if late <= 0:
        return Check(part, OK, result)
    days = "a day" if late == 1 else f"{late} days"
    return Check(part, WARNING, f"{result}, {days} behind", "run `patron build`")


def _time(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days"
        if hours >= 48
        else f"{hours:.0f} hours"
        if hours >= 2
        else f"{hours * 60:.0f} minutes"
    )
