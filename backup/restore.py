"""Restoring a backup into a home: everything is prepared and verified first, then exchanged in one go."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from backup import manifest as manifests
from backup import parts, server_models
from backup.manifest import Manifest
from core import files, home_id, locks
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.storage import copies, migrations, ownership
from core.storage.database import Database
from models.registry.copies import local


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        replaced: whether the home or its database contained something before.
        notes: what a person should know or do.
    """

    manifest: Manifest
    replaced: bool
    notes: tuple[str, ...]


def restore(folder: Path, home: Home, replacing: bool = False, progress: Progress = silent) -> Restored:
    """Restore a backup into an empty home and database.

    Args:
        replacing: replace the home and the database that are there; after an error they are as before.

    Raises:
        PatronError: the backup is incomplete or damaged, the home or the database is not empty, belongs to
            another home or is in use, or cannot be written; nothing was changed.
    """
    manifest = manifests.read(folder)
    _check_fits(manifest, home)
    replaced = _check_place(manifest, home, replacing)
    _refuse_running(home)
    progress("verifying", 0.1)
    manifests.verify(folder, manifest)
    models = server_models.compare(folder, manifest, home)
    progress("copying", 0.3)
    draft = home.path / f"restore.{secrets.token_hex(4)}.draft"
    try:
        home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _prepare(folder, manifest, home, draft)
        progress("models", 0.5)
        with models.write() if models else nullcontext():
            progress("exchanging", 0.8)
            _exchange(folder, manifest, home, draft)
    except (OSError, sqlite3.Error) as error:
        raise _refusal(home, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Restored(manifest, replaced, tuple(_notes(manifest, home)))


def _check_fits(manifest: Manifest, home: Home) -> None:
    """Refuse a backup that this version, or this kind of database or MLflow, cannot take."""
    database = manifest.database
    if database.revision > migrations.HEAD:
        raise PatronError(
            f"the backup is of a newer Patron ({manifest.patron}, tables at {database.revision}); use that"
            " version"
        )
    if home.database is None and database.kind == copies.POSTGRESQL:
        raise PatronError(
            "the backup is of a PostgreSQL database; set PATRON_DATABASE to an empty one to restore it there"
        )
    server_models.check_kind(manifest, home)


def _check_place(manifest: Manifest, home: Home, replacing: bool) -> bool:
    """Whether there is something to replace.

    Raises:
        PatronError: there is, and the caller does not replace; or the database belongs to another home.
    """
    there = parts.existing(home)
    owner, is_empty, name = None, True, ""
    if home.database is not None:
        database = Database(home)
        name = database.name
        with database.replacing() as connection:
            owner, is_empty = ownership.stored(connection), ownership.is_empty(connection)
    if (there or not is_empty) and not replacing:
        what = f"{home.path} contains {', '.join(there)}" if there else f"the database {name} is not empty"
        raise PatronError(f"{what}; nothing was changed. `patron restore DIR --replace` replaces the shop")
    own = home_id.read_before_restore(home)
    if owner is not None and owner not in (manifest.home_id.id, own and own.id):
        raise home_id.refuse(f"the database {name}", owner, own, "PATRON_DATABASE")
    if owner is None and not is_empty and not home_id.has_shop(home):
        raise home_id.refuse(f"the database {name}", None, own, "PATRON_DATABASE")
    return bool(there) or not is_empty


def _refuse_running(home: Home) -> None:
    """Refuse to replace a home that a service or a refresher uses."""
    leases = (home.path / "refresher.lock", *home.refreshers.glob("*.lock"))
    for path in (*leases, *home.logs.glob("*.accepted")):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if not locks.acquire(file):
                raise PatronError(
                    f"{home.path} is in use; stop `patron serve` and `patron refresh`, then restore again"
                )


def _prepare(folder: Path, manifest: Manifest, home: Home, draft: Path) -> None:
    """Copy the files of a backup next to those of the home."""
    draft.mkdir(mode=0o700)
    in_file = home.database is None
    for name, stored in manifest.files.items():
        if name.startswith(f"{parts.MLFLOW_SERVER}/"):
            continue
        if name.startswith(f"{parts.DATABASE}/"):
            if not in_file:
                continue
            target = draft / Path(name).name
        else:
            target = draft / name
        if manifests.copy_file(folder / name, target) != stored:
            raise PatronError(f"{folder} changed while it was read; use another backup")
    if in_file:
        copies.reserve_keys(draft / copies.FILE)
    tables = draft / parts.MLFLOW / local.TABLES
    if tables.exists():
        local.relocate(tables, home.mlflow)
    for path in (*draft.rglob("*"), draft):
        if path.is_dir():
            files.sync(path)


def _exchange(folder: Path, manifest: Manifest, home: Home, draft: Path) -> None:
    """Put the prepared files and the database in place of the old ones.

    The files are moved once the database is loaded and before that is committed; if it cannot be committed,
    they are moved back.
    """
    own = replace(manifest.home_id, restored=home_id.restore_token())
    Database(home).close()
    loading = nullcontext() if home.database is None else _loading(home, manifest, folder)
    with home_id.restoring(home, own), _FileExchange(home, draft) as files_of_home, loading:
        files_of_home.move()


@contextmanager
def _loading(home: Home, manifest: Manifest, folder: Path) -> Iterator[None]:
    """Load the database; it is committed at the end of the block."""
    with Database(home).replacing() as connection:
        copies.load(connection, manifest.database, folder / parts.DATABASE)
        yield


class _FileExchange:
    """Moves the entries of a home aside and prepared ones in; back again if the block ends with an error."""

    def __init__(self, home: Home, draft: Path) -> None:
        self._home, self._draft = home, draft
        self._aside = home.path / f"before.{secrets.token_hex(4)}.draft"
        self._moved: list[tuple[Path, Path]] = []

    def __enter__(self) -> Self:
        self._aside.mkdir(mode=0o700)
        return self

    def move(self) -> None:
        """Exchange the files.

        Raises:
            PatronError: a file cannot be moved. An OSError would pass for one of the database.
        """
        try:
            for name in parts.existing(self._home):
                self._move(self._home.path / name, self._aside / name)
            for path in sorted(self._draft.iterdir()):
                self._move(path, self._home.path / path.name)
            files.sync(self._home.path)
        except OSError as error:
            raise _refusal(self._home, error) from error

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for source, target in reversed(self._moved):
                os.replace(target, source)
        shutil.rmtree(self._aside, ignore_errors=True)

    def _move(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        self._moved.append((source, target))


def _refusal(home: Home, error: Exception) -> PatronError:
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return PatronError(f"{home.path} cannot be restored: {why}; it is as before")


def _notes(manifest: Manifest, home: Home) -> Iterator[str]:
    """What a person should know or do after a restore."""
    yield "`patron build` computes the features; then start the service"
    yield from server_models.differing_champions(manifest, home)
