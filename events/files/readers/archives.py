"""Compressed files: ``.gz``, and ``.zip`` with exactly one file, unpacked up to a limit."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from core.errors import PatronError

MIN_UNPACKED = 256 << 20
"""Bytes that any compressed file may unpack to."""
MAX_RATIO = 100
"""How many times its own size a larger one may unpack to; tables seldom reach 50."""
_CHUNK = 1 << 20


def max_unpacked(path: Path) -> int:
    """Bytes that a compressed file, with all archives within it, may unpack to."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return min(max(MIN_UNPACKED, MAX_RATIO * path.stat().st_size), free // 2)


def unpack_gzip(path: Path, folder: Path, limit: int) -> Path:
    """Unpack a gzip file into a folder; returns the unpacked file.

    Args:
        limit: how many bytes it may unpack to.

    Raises:
        PatronError: it is damaged, or unpacks to more than the limit.
    """
    try:
        with gzip.open(path, "rb") as packed:
            return _copy(packed, path, folder / (path.stem or "unpacked"), limit)
    except (OSError, EOFError, zlib.error) as error:
        raise PatronError(f"{path}: this gzip file is damaged or cut off; nothing was read") from error


def unpack_zip(path: Path, folder: Path, limit: int) -> Path:
    """Unpack the one file of a zip archive into a folder; returns the unpacked file.

    Args:
        limit: how many bytes it may unpack to.

    Raises:
        PatronError: it has no file or several, is protected by a password, is damaged, or unpacks to more
            than the limit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_content(member)]
            if len(members) != 1:
                listed = ", ".join(member.filename for member in members[:5]) or "none"
                raise PatronError(
                    f"{path}: a zip archive must have exactly one file, and this has {len(members)}"
                    f" ({listed}); unpack it and pass the files one by one; nothing was read"
                )
            if members[0].flag_bits & 1:
                raise PatronError(f"{path}: this archive is protected by a password; unpack it first")
            with archive.open(members[0]) as packed:
                return _copy(packed, path, folder / (Path(members[0].filename).name or "unpacked"), limit)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, RuntimeError) as error:
        raise PatronError(f"{path}: this zip archive is damaged; nothing was read") from error


def check_workbook(path: Path, limit: int) -> None:
    """Refuse a workbook, itself a zip archive, that unpacks to more than the limit, or to more than it says.

    Raises:
        PatronError: it does, or it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > limit:
            raise PatronError(_too_large(path, limit))
        if archive.testzip():
            raise PatronError(f"{path}: this workbook is damaged; nothing was read")


def _is_content(member: zipfile.ZipInfo) -> bool:
    name = Path(member.filename)
    return not (member.is_dir() or name.parts[0] == "__MACOSX" or name.name in (".DS_Store", "Thumbs.db"))


def _copy(packed: IO[bytes] | gzip.GzipFile, path: Path, out: Path, limit: int) -> Path:
    size = 0
    with open(out, "wb") as written:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise PatronError(_too_large(path, limit))
            written.write(chunk)
    return out


def _too_large(path: Path, limit: int) -> str:
    return (
        f"{path}: this unpacks to more than {limit >> 20:,} MB, which is too much for its size or for the"
        " disk; if it is a table, unpack it and pass the file; nothing was read"
    )
