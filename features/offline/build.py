"""The build: computes the features of all customers, registers and publishes them; and when it is due."""

from __future__ import annotations

from core.calendar import day_of, micros
from core.errors import NothingThere, PatronError
from core.home import Home
from core.progress import Progress, silent
from events import lake
from events.identity import Identity
from events.lake.shops import update_from_warehouse
from events.warehouse import is_in_warehouse
from features import consent_events
from features.catalogue.definitions import definitions
from features.catalogue.store import Store
from features.groups import groups_of
from features.offline import boundaries, current, snapshots
from features.offline.engines import BuildEngine, engine_of, online_rows
from features.offline.snapshot_set import SnapshotSet
from features.text.opinions import TextReader


def build(
    home: Home, monthly: bool = True, progress: Progress = silent, engine: BuildEngine | None = None
) -> SnapshotSet:
    """Compute missing snapshots, and write the current features of all customers into the online store.

    Newer online rows, and customers who arrived meanwhile, are preserved.

    Args:
        monthly, engine: see :func:`features.offline.snapshots.build`.
    """
    home.shop()  # raises if there is none
    reader, engine = TextReader.of(home), engine or engine_of(home)
    update_from_warehouse(home, engine.backend)
    if is_in_warehouse(home):
        consent_events.write(home, engine.backend)
    built = snapshots.build(home, monthly, progress, engine)
    progress("feature store", 0.0)
    store = Store(home)
    groups = groups_of(home)
    store.apply(groups, built.folders)
    if TextReader.of(home) != reader:  # the computed features may differ from the catalogue
        raise PatronError("another classifier of texts was promoted meanwhile; run `patron build` again")
    progress("online store", 0.0)
    online_rows.fill(store, built, engine.executors)
    # Customers merged since then have rows again.
    merges = Identity(home).merges()
    store.forget([merge.customer_key for merge in merges if merge.at_us > micros(built.current)])
    progress("online store", 1.0)
    return built


def catalogued(store: Store) -> bool:
    """Whether the store was filled by the definitions of this code and the home's text classifier."""
    try:
        return store.definitions() == definitions(store.home)
    except NothingThere:
        return False


def due(home: Home) -> bool:
    """Whether a build is due: on a new day, after new events, or for missing monthly boundaries.

    Raises:
        PatronError: the home cannot be read.
    """
    shop = home.shop()
    at = current.built_at(home, lake.metadata(home).generation)
    if at is None or day_of(at, shop.time_zone) < shop.today():
        return True
    return boundaries.missing(home, shop.now())
