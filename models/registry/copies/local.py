"""A copy of a home's local MLflow, and the champions that a backup names."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from core.errors import PatronError
from core.home import Home
from models.registry.connection import EXPERIMENT, may_have_versions
from models.registry.registry import Registry
from models.registry.standing import CHAMPION

TABLES = "mlflow.db"
# Columns of MLflow's tables with the absolute place of files.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def champions_in(tables: Path) -> dict[str, str]:
    """The champion of each model in copied tables."""
    query = "SELECT name, version FROM registered_model_aliases WHERE alias = ?"
    with closing(sqlite3.connect(tables)) as connection:
        return {name: str(version) for name, version in connection.execute(query, (CHAMPION,))}


def champions_on_server(home: Home) -> dict[str, str]:
    """The champion of each model on an MLflow server.

    Raises:
        PatronError: MLflow cannot be read.
    """
    registry = Registry(home)
    standing: dict[str, str] = {}
    with registry.mlflow.errors():
        token = None
        while token != "":
            page = registry.mlflow.client.search_registered_models(page_token=token)
            standing |= {m.name: str(m.aliases[CHAMPION]) for m in page if CHAMPION in m.aliases}
            token = page.token or ""
    return standing


def server(home: Home) -> str:
    """The place of the MLflow server that a home uses, without credentials; "" for a local MLflow."""
    if not may_have_versions(home):
        return ""
    mlflow = Registry(home).mlflow
    return "" if mlflow.is_local else mlflow.place


def copy_tables(home: Home, target: Path) -> None:
    """Copy MLflow's tables as they are now. Files of runs are written before the tables name them.

    Raises:
        PatronError: the tables cannot be read.
    """
    try:
        with (
            closing(sqlite3.connect(home.mlflow / TABLES)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise PatronError(f"{home.mlflow / TABLES} cannot be copied: {error}") from error


def relocate(tables: Path, now: Path) -> None:
    """Let the tables of a copied MLflow name the files below another folder.

    Args:
        now: the folder ``mlflow`` of the home.
    """
    new = (now / "artifacts").as_uri()
    with closing(sqlite3.connect(tables)) as connection, connection:
        places = connection.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE ?", (f"{EXPERIMENT}%",)
        ).fetchall()
        for (old,) in places:  # several, if the home was moved before
            for table, column in _PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old), old),
                )
