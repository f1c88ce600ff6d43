"""The check of whether a home and its stores have one id."""

from __future__ import annotations

from collections.abc import Iterator

from core import home_id
from core.home import Home
from core.home_id import HomeId
from serving.operations.checks import FAILED, OK, WARNING, Check


def check(home: Home) -> Iterator[Check]:
    """Whether the home has an id, and its database, online store and MLflow have the same."""
    from core.storage.database import Database, home_ids
    from features.catalogue.store import open_online
    from models.registry.connection import MlflowConnection, may_have_versions

    own = home_id.read(home)
    if own is None:
        advice = "the next event or command that writes gives it one"
        yield Check("home", WARNING, f"{home.path} has no id", advice)
        return
    database = Database(home)
    with database.reading() as connection:
        owner = connection.execute(home_ids.select()).scalar()
    yield _compared(own, f"the database {database.name}", owner)
    store = open_online(home)
    yield _compared(own, store.name, store.owner())
    if may_have_versions(home):
        mlflow = MlflowConnection(home)
        yield _compared(own, f"MLflow at {mlflow.place}", mlflow.owner())


def _compared(own: HomeId, store: str, owner: str | None) -> Check:
    """Whether a store has the id of the home.

    Args:
        store: its name. owner: the id in it; None if it has none yet.
    """
    if owner == own.id:
        return Check("home", OK, f"{own.short}, also of {store}")
    if owner is None:
        return Check("home", OK, f"{own.short}; {store} gets this id when it is written")
    result = f"{own.short}, but {store} belongs to the home {owner[: home_id.SHORT]}"
    return Check("home", FAILED, result, "give each home stores of its own")
