"""Files that this process and the executors of Spark exchange.

They exchange them in the home, which has one path on every machine, or in a storage: a folder in a bucket or
another file system that fsspec knows, such as ``s3://bucket/patron``. A storage has copies for the duration
of a command only, so that what a home deletes is in no other place. Executors read it by fsspec, not by
Spark, whose own clients of object stores are further programs that each cluster installs and configures.

An address is a path or an address of fsspec.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import fsspec
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from core import files, home_id
from core.errors import PatronError
from core.home import Home

ROWS_PER_TASK = 500_000


@dataclass(frozen=True)
class FileExchange:
    """The files that a command exchanges with its executors.

    Attributes:
        home: the folder of the home.
        folder: the address of the command's own folder.
        is_remote: whether it is in a storage; otherwise executors read and write the home's files themselves.
    """

    home: Path
    folder: str
    is_remote: bool
    _published: set[Path] = field(default_factory=set, repr=False)

    def publish(self, paths: Sequence[Path]) -> list[str]:
        """The addresses of files of the home, which are copied if executors do not see them.

        A file must not change during the command.

        Raises:
            PatronError: the storage cannot be written.
        """
        if not self.is_remote:
            return [str(path) for path in paths]
        addresses = {path: f"{self.folder}/{path.relative_to(self.home).as_posix()}" for path in paths}
        missing = [path for path in addresses if path not in self._published]
        if missing:
            with _storage_failures(self.folder):
                storage, _ = place_of(self.folder)
                storage.put([*map(str, missing)], [place_of(addresses[path])[1] for path in missing])
        self._published.update(missing)
        return [*addresses.values()]

    @contextmanager
    def returned_into(self, folder: Path) -> Iterator[str]:
        """Yield the address of a folder; the files that executors write there are in a folder of the home
        after the block, also if it failed.

        Raises:
            PatronError: the storage cannot be read.
        """
        if not self.is_remote:
            yield str(folder)
            return
        address = f"{self.folder}/returned"
        try:
            yield address
        except BaseException:
            with suppress(PatronError):
                _fetch(address, folder)
            raise
        _fetch(address, folder)


@contextmanager
def open_exchange(home: Home, work: Path, storage: str | None) -> Iterator[FileExchange]:
    """The files of one command, which are removed at its end. Those that a killed command left are removed.

    Args:
        work: a folder of the home for Spark's temporary files.
        storage: its address; None if all executors see the home.

    Raises:
        PatronError: the storage cannot be written.
    """
    own = home_id.read(home)
    base = str(work) if storage is None else f"{storage.rstrip('/')}/{own.id if own else 'home'}"
    folder = f"{base}/build-{secrets.token_hex(4)}"
    with _storage_failures(base):
        filesystem, path = place_of(folder)
        for left in filesystem.glob(f"{place_of(base)[1]}/build-*"):
            filesystem.rm(left, recursive=True)
        filesystem.pipe_file(f"{path}/created", b"")
    try:
        yield FileExchange(home.path, folder, is_remote=storage is not None)
    finally:
        with suppress(Exception):  # an error that ended the command is more important
            filesystem.rm(path, recursive=True)


def place_of(address: str) -> tuple[Any, str]:
    """The file system of fsspec and the path in it."""
    # Only folders of machines must exist before their files.
    settings = {"auto_mkdir": True} if address.startswith(("/", "file:")) else {}
    filesystem, path = fsspec.core.url_to_fs(address, **settings)
    return filesystem, path


def read_table(address: str, **options: Any) -> pa.Table:
    """A Parquet file.

    Args:
        options: of :func:`pyarrow.parquet.read_table`.
    """
    filesystem, path = place_of(address)
    return pq.read_table(path, filesystem=filesystem, partitioning=None, **options)


class Piece(NamedTuple):
    """A row group of a file."""

    address: str
    row_group: int


def divide(paths: Sequence[Path], addresses: Sequence[str]) -> tuple[ibis.Schema, list[list[Piece]]]:
    """All columns of Parquet files, and the pieces that each task reads, of about ``ROWS_PER_TASK`` rows.

    Args:
        paths: where this process reads the files.
        addresses: where executors read them.
    """
    schemas: list[pa.Schema] = []
    tasks: list[list[Piece]] = []
    room = 0
    for path, address in zip(paths, addresses, strict=True):
        with pq.ParquetFile(path) as file:
            schemas.append(file.schema_arrow.remove_metadata())
            for group in range(file.num_row_groups):
                if room <= 0:
                    tasks.append([])
                    room = ROWS_PER_TASK
                tasks[-1].append(Piece(address, group))
                room -= file.metadata.row_group(group).num_rows
    return ibis.Schema.from_pyarrow(pa.unify_schemas(schemas)), tasks


@dataclass(frozen=True)
class PieceBatches:
    """Reads pieces of files; it is called on the executors.

    Attributes:
        tasks: the pieces of each task.
        schema: of the batches; columns that a file lacks are null.
    """

    tasks: Sequence[Sequence[Piece]]
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of the tasks whose numbers are in the first column of each batch."""
        for batch in batches:
            for number in batch.column(0).to_pylist():
                for address, pieces in groupby(self.tasks[number], key=attrgetter("address")):
                    yield from self._read(address, [piece.row_group for piece in pieces])

    def _read(self, address: str, row_groups: Sequence[int]) -> Iterator[pa.RecordBatch]:
        filesystem, path = place_of(address)
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            for rows in file.iter_batches(row_groups=row_groups):
                columns = [
                    rows[column.name].cast(column.type)
                    if column.name in rows.schema.names
                    else pa.nulls(rows.num_rows, column.type)
                    for column in self.schema
                ]
                yield pa.record_batch(columns, schema=self.schema)


def remove(addresses: Iterable[str]) -> None:
    """Remove files."""
    for address in addresses:
        filesystem, path = place_of(address)
        filesystem.rm_file(path)


@contextmanager
def replacing(address: str) -> Iterator[Path | BinaryIO]:
    """Yield where the content of a file is written, which has its name after the block; see
    :func:`core.files.replacing`.
    """
    if "://" not in address:
        with files.replacing(Path(address)) as draft:
            yield draft
        return
    filesystem, path = place_of(address)
    with filesystem.open(path, "wb") as file:
        yield file


def _fetch(address: str, folder: Path) -> None:
    """Copy the files of a folder of the storage into a folder of the home, each in one step."""
    with _storage_failures(address):
        filesystem, path = place_of(address)
        filesystem.invalidate_cache()  # executors wrote there
        for remote in filesystem.find(path):
            with files.replacing(folder / Path(remote).name) as draft:
                filesystem.get_file(remote, str(draft))
            filesystem.rm_file(remote)


@contextmanager
def _storage_failures(address: str) -> Iterator[None]:
    """Raise the failures of a storage as errors for people; each file system has its own kinds."""
    try:
        yield
    except PatronError:
        raise
    except Exception as error:
        parts = urlsplit(address)
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else address
        reason = str(error) if isinstance(error, ImportError) else type(error).__name__
        raise PatronError(
            f"{shown} cannot be used ({reason}); Spark's executors and this process exchange files there"
        ) from error
