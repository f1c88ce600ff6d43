"""Making a backup while the service runs and events arrive.

The order keeps the parts consistent with each other:

1. Jobs. The decisions of a run are in the database, so their folder must not be ahead of it.
2. Lake and database at one moment: the lake's writer is locked while the version is linked and the
   database's snapshot begins. So each event is in the lake or in the journal, never in both or neither.
3. MLflow, which then has every version that the database names: tables or, from a server, the description
   of the models; then files.

The backup is written next to its place, and renamed once its manifest is there.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import features
from backup import parts
from backup.manifest import Manifest, StoredFile, copy_file, describe
from core import files, home_id, locks
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.progress import Progress, silent
from core.storage import copies
from events.lake import versions
from models.registry.connection import MlflowConnection
from models.registry.copies import export, local
from models.registry.standing import CHAMPION


def create(home: Home, target: Path, progress: Progress = silent) -> Manifest:
    """Back up a home into a folder that does not exist or is empty.

    Raises:
        NothingThere: the home has no shop.
        PatronError: the folder is not empty or cannot be written, or a store cannot be read; nothing is left.
    """
    home.shop()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PatronError(f"{target} is not empty; pass a folder that does not exist yet")
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.draft")
    try:
        with _refusing(target):
            draft.mkdir(parents=True, mode=0o700)
            manifest = _Backup(home, target, draft, progress).write()
            os.replace(draft, target)
            files.sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


@contextmanager
def _refusing(target: Path) -> Iterator[None]:
    """Translate errors of the folder that is written."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise PatronError(f"the backup {target} cannot be written: {why}; nothing was kept") from error


class _Backup:
    """One backup on its way."""

    def __init__(self, home: Home, target: Path, folder: Path, progress: Progress) -> None:
        self._home, self._target, self._folder, self._progress = home, target, folder, progress
        self._files: dict[str, StoredFile] = {}

    def write(self) -> Manifest:
        """Write all parts, and the manifest last."""
        home, made_at = self._home, datetime.now(UTC)
        self._progress("jobs", 0.0)
        for name in (*parts.JOBS, parts.REPORTS, *parts.SETTINGS):
            self._copy(home.path / name, name)
        with ExitStack() as open_parts:
            with versions.writing(home):
                lake = open_parts.enter_context(_pinned(home))
                database = open_parts.enter_context(copies.snapshot(home))
            # Within the snapshot, an OSError would pass for one of the database.
            open_parts.enter_context(_refusing(self._target))
            self._progress("database", 0.1)
            (self._folder / parts.DATABASE).mkdir(mode=0o700)
            database.write(self._folder / parts.DATABASE)
            stored = database.copy
            self._add_written(parts.DATABASE)
            self._progress("events", 0.4)
            self._copy(lake, parts.LAKE)
        self._progress("models", 0.8)
        server = local.server(home)
        champions = self._export_models() if server else self._copy_mlflow()
        own = home_id.read(home)
        if own is None:
            raise PatronError(f"{home.path} has no id; run `patron doctor`")
        record = json.loads((self._folder / parts.LAKE / versions.POINTER).read_text())
        manifest = Manifest(
            features.__version__,
            made_at.isoformat(timespec="seconds"),
            str(home.path),
            own,
            stored,
            {name: record[name] for name in ("version", "compacted_seq", "orders")},
            server,
            champions,
            self._files,
        )
        for path in (*self._folder.rglob("*"), self._folder):
            if path.is_dir():
                files.sync(path)
        self._progress("manifest", 1.0)
        manifest.write(self._folder)
        return manifest

    def _copy(self, source: Path, name: str) -> None:
        """Copy a file, or the files below a folder; what is missing is left out."""
        if source.is_file():
            self._files[name] = copy_file(source, self._folder / name)
        for path in parts.files_below(source) if source.is_dir() else ():
            try:
                self._files[f"{name}/{path}"] = copy_file(source / path, self._folder / name / path)
            except FileNotFoundError:
                if name not in parts.JOBS:  # an old job may be deleted meanwhile
                    raise

    def _add_written(self, folder: str) -> None:
        """Describe the files that were written below a folder of the backup."""
        for path in sorted(path for path in (self._folder / folder).rglob("*") if path.is_file()):
            files.sync(path)
            self._files[path.relative_to(self._folder).as_posix()] = describe(path)

    def _export_models(self) -> dict[str, str]:
        """Copy the models of an MLflow server; return their champions."""
        folder = self._folder / parts.MLFLOW_SERVER
        try:
            stored = export.export(MlflowConnection(self._home), folder)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}; the backup needs its models, so nothing was kept") from error
        self._add_written(parts.MLFLOW_SERVER)
        return {m.name: str(m.aliases[CHAMPION]) for m in stored.models if CHAMPION in m.aliases}

    def _copy_mlflow(self) -> dict[str, str]:
        """Copy a local MLflow; return the champions in the copy."""
        if not (self._home.mlflow / local.TABLES).exists():
            return {}
        tables = self._folder / parts.MLFLOW / local.TABLES
        tables.parent.mkdir(mode=0o700)
        local.copy_tables(self._home, tables)
        self._add_written(parts.MLFLOW)
        self._copy(self._home.mlflow / "artifacts", f"{parts.MLFLOW}/artifacts")
        return local.champions_in(tables)


@contextmanager
def _pinned(home: Home) -> Iterator[Path]:
    """A folder with links to the files of the current lake, which later versions do not remove."""
    _remove_dead_pins(home)
    lake = versions.current(home)
    pin = home.path / f"backup.{secrets.token_hex(4)}.draft"
    folder, lock = pin / lake.folder.name, None
    try:
        folder.mkdir(parents=True, mode=0o700)
        lock = os.open(pin, os.O_RDONLY)
        locks.acquire(lock)
        versions.link(lake.folder, folder)
        # The backup has one version.
        (pin / versions.POINTER).write_text(json.dumps(lake.metadata.record | {"before": None}, indent=2))
        yield pin
    finally:
        shutil.rmtree(pin, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_dead_pins(home: Home) -> None:
    """Remove the links of backups whose process was killed."""
    for pin in home.path.glob("backup.*.draft"):
        with suppress(FileNotFoundError):
            lock = os.open(pin, os.O_RDONLY)
            try:
                if locks.acquire(lock):
                    shutil.rmtree(pin, ignore_errors=True)
            finally:
                os.close(lock)
