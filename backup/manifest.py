"""The manifest of a backup: its content, with the digest of each file. A folder without one is no backup."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core import files
from core.errors import NothingThere, PatronError
from core.home_id import HomeId
from core.storage.copies import DatabaseCopy

FILE = "manifest.json"
FORMAT = 1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file of a backup: its size in bytes, and its SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        patron: the version that made the backup. made_at: ISO 8601 in UTC.
        home: the folder that was backed up. home_id: its id.
        lake: counts of the lake: version, compacted_seq and orders.
        mlflow: the place of the MLflow server that the models were copied from; "" for a local MLflow.
        champions: the champion of each model that has one, by name.
        files: by path within the backup.
    """

    patron: str
    made_at: str
    home: str
    home_id: HomeId
    database: DatabaseCopy
    lake: Mapping[str, Any]
    mlflow: str
    champions: Mapping[str, str]
    files: Mapping[str, StoredFile]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.bytes for file in self.files.values())

    def write(self, folder: Path) -> None:
        """Write the manifest; the backup is complete once this is done."""
        content = {"format": FORMAT, **asdict(self)}
        content = {"digest": _digest(content), **content}
        files.replace(folder / FILE, json.dumps(content, indent=1), durable=True)


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        NothingThere: the folder is no complete backup.
        PatronError: the manifest is damaged, or of a newer Patron.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        digest, of_format = content.pop("digest"), content.pop("format")
        if of_format > FORMAT:
            raise PatronError(f"{folder} was made by a newer Patron ({content['patron']}); use that version")
        if digest != _digest({"format": of_format, **content}):
            raise ValueError(digest)
        return Manifest(
            **content
            | {
                "home_id": HomeId(**content["home_id"]),
                "database": DatabaseCopy(**content["database"]),
                "files": {name: StoredFile(**file) for name, file in content["files"].items()},
            }
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NothingThere(f"{folder} is no complete backup: it has no {FILE}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PatronError(f"{path} is damaged; use another backup") from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file of a backup with its digest.

    Raises:
        PatronError: a file is missing, or differs.
    """
    for name, stored in manifest.files.items():
        path = folder / name
        try:
            actual = describe(path)
        except FileNotFoundError as error:
            raise PatronError(f"{folder} is damaged: {name} is missing; use another backup") from error
        if actual != stored:
            raise PatronError(f"{folder} is damaged: {name} has changed; use another backup")


def describe(path: Path) -> StoredFile:
    """The size and the digest of a file."""
    with open(path, "rb") as file:
        return StoredFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def copy_file(source: Path, target: Path) -> StoredFile:
    """Copy a file durably, and return the size and the digest of what was copied."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as reading, _create(target) as writing:
        while block := reading.read(_BLOCK):
            writing.write(block)
            digest.update(block)
            size += len(block)
        writing.flush()
        os.fsync(writing.fileno())
    return StoredFile(size, digest.hexdigest())


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, files.PRIVATE), "wb")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
