"""The lake's versions on disk: folders that never change once they are named, and one pointer.

``events/v000017/order_lines/bucket=03/part-0.parquet`` and so on. ``events/import.json`` names the current
version; replacing that file is the only commit. Readers read it once, and then use that version's folder and
the journal after its ``compacted_seq``. The previous version stays until the next write, for readers that
still use it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet as pq

from core import files, locks
from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage import sql
from events.lake.metadata import LakeMetadata

BUCKETS = 16
ROW_GROUP_ROWS = 20_480
POINTER = "import.json"
LOCK = "writing.lock"
PATIENCE_S = 60.0
_VERSION = re.compile(r"v\d{6,}")


@dataclass(frozen=True)
class Lake:
    """One version of the lake.

    Attributes:
        folder: the folder of its tables.
    """

    folder: Path
    metadata: LakeMetadata

    @property
    def compacted_seq(self) -> int:
        """The last number of the journal whose events the version contains."""
        return self.metadata.compacted_seq

    @property
    def last_key(self) -> int:
        """The greatest customer key of the version's events; 0 where it has none."""
        key = self.metadata.last_key
        return _cached_last_key(self.folder) if key is None else key


class LakePosition(NamedTuple):
    """What the lake contains already; later messages and new customers get greater numbers.

    The database may be an older copy, whose own counters are below it.
    """

    compacted_seq: int = 0
    last_key: int = 0


def exists(home: Home) -> bool:
    """Whether a home holds a shop's events, or may receive them."""
    return (home.events / POINTER).exists()


def current(home: Home) -> Lake:
    """The current version. Readers of several files call this once.

    Raises:
        NothingThere: nothing was imported or simulated yet.
        PatronError: the pointer is damaged, or the home was written by an earlier release.
    """
    pointer = home.events / POINTER
    try:
        record: dict[str, Any] = json.loads(pointer.read_text())
        if "version" not in record or (home.path / "identity.db").exists():
            how = "patron simulate" if record["source"] == "simulate" else "patron import FILE --as ..."
            raise PatronError(
                f"{home.path} was written by an earlier release of Patron, which kept events otherwise;"
                f" bring the shop in again with `{how} --replace`"
            )
        metadata = LakeMetadata.parse(record)
        return Lake(home.events / metadata.version, metadata)
    except FileNotFoundError as error:
        raise NothingThere(
            f"there are no events in {home.path}; run `patron simulate` or `patron import FILE`,"
            " or `patron init` for a shop that begins with what arrives"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise PatronError(f"{pointer} is damaged; bring the shop in again with --replace") from error


def position(home: Home) -> LakePosition:
    """The position of the current version; zeroes where there is no lake that can be read."""
    stamp = files.stamp(home.events / POINTER)  # every commit of events needs the position
    return LakePosition() if stamp is None else _position(home, stamp)


@lru_cache(maxsize=4)
def _position(home: Home, _stamp: files.Stamp) -> LakePosition:
    try:
        lake = current(home)
    except PatronError:
        return LakePosition()
    return LakePosition(lake.compacted_seq, lake.last_key)


def _last_key(folder: Path) -> int:
    """The greatest customer key in the tables of a version, by the footers of their files."""
    keys = [0]
    for path in folder.glob("*/*/*.parquet"):
        footer = pq.read_metadata(path)
        column = footer.schema.names.index("customer_key")
        groups = (footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups))
        keys += [group.max for group in groups if group is not None and group.has_min_max]
    return int(max(keys))


_cached_last_key = lru_cache(maxsize=4)(_last_key)  # of published versions, which never change


def bucket_file(folder: Path, table: str, customer_key: int) -> Path:
    """The file of an event table that contains a customer, below a version's folder."""
    return folder / table / f"bucket={customer_key % BUCKETS:02d}" / "part-0.parquet"


@contextmanager
def writing(home: Home) -> Iterator[None]:
    """Hold the writer's lock; imports, simulations and compactions run one after the other.

    Raises:
        PatronError: another process has held the lock for ``PATIENCE_S``.
    """
    home.events.mkdir(parents=True, exist_ok=True)
    with open(home.events / LOCK, "ab") as file:
        if not locks.acquire_within(file, PATIENCE_S, pause_s=0.05):
            raise PatronError(
                f"the events in {home.path} are being written by another command or by the"
                " service; nothing was changed. Try again when it has finished"
            )
        yield


def begin(home: Home) -> Path:
    """Create a folder for the next version; remove older versions and unfinished drafts."""
    folders = sorted(path for path in home.events.iterdir() if _VERSION.fullmatch(path.name))
    if name := _current_version(home):
        retained = {name, current(home).metadata.before}
        for path in folders:
            if path.name not in retained:
                shutil.rmtree(path)
    draft = home.events / f"v{max((int(path.name[1:]) for path in folders), default=0) + 1:06d}"
    draft.mkdir()
    return draft


def _current_version(home: Home) -> str | None:
    """The name of the current version; None if there is none, or only one of an unreadable format."""
    try:
        return current(home).folder.name
    except PatronError:
        return None


def link(source: Path, target: Path) -> None:
    """Hard-link the files of a folder, which never change, into another."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
            continue
        try:
            os.link(path, place)
        except OSError:  # a file system without links
            shutil.copyfile(path, place)


def write_bucket(connection: duckdb.DuckDBPyConnection, rows: str, path: Path) -> None:
    """Write a bucket's file, sorted by customer and time, replacing a hard link.

    Args:
        rows: the rows as SQL that can follow ``FROM``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as draft:
        connection.execute(
            f"COPY (FROM {rows} ORDER BY ALL) TO {sql.literal(draft)}"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, USE_TMP_FILE false)"
        )


def write_empty_buckets(connection: duckdb.DuckDBPyConnection, rows: str, paths: Sequence[Path]) -> None:
    """Write buckets without rows, of which a small shop has many: one file and copies of it.

    Args:
        rows: no rows, with the table's columns, as SQL that can follow ``FROM``.
    """
    for path in paths[:1]:
        write_bucket(connection, rows, path)
    for path in paths[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths[0], path)


def publish(
    home: Home, draft: Path, record: dict[str, Any], *, compacted_seq: int, forgotten_seq: int
) -> Lake:
    """Make a finished folder the current version, in one step and durably.

    Args:
        record: the other fields of :class:`LakeMetadata`.
    """
    record = record | {"version": draft.name, "before": _current_version(home)}
    record |= {"compacted_seq": compacted_seq, "forgotten_seq": forgotten_seq, "last_key": _last_key(draft)}
    metadata = LakeMetadata.parse(record)
    for path in (*draft.rglob("*"), draft):
        if path.is_dir() or path.stat().st_nlink == 1:  # hard-linked files were synced when they were written
            files.sync(path)
    files.sync(home.events)
    files.replace(home.events / POINTER, json.dumps(record, indent=2), durable=True)
    _forget_earlier_release(home)
    return Lake(draft, metadata)


def amend(home: Home, fields: dict[str, Any]) -> LakeMetadata:
    """Change fields of the current version's metadata, in one step; its files stay as they are."""
    record = current(home).metadata.record | fields
    files.replace(home.events / POINTER, json.dumps(record, indent=2), durable=True)
    return LakeMetadata.parse(record)


def _forget_earlier_release(home: Home) -> None:
    for path in home.events.iterdir():
        if path.name not in (POINTER, LOCK) and not _VERSION.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in home.path.glob("identity.db*"):
        path.unlink()
