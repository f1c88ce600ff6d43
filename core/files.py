"""Files that are written in one step: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int, int]
"""A file's device, inode, size and time of change (ns); a replaced file has another stamp."""
PRIVATE = 0o600
"""The mode of a file that its owner alone may read."""


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a draft next to a file; the draft replaces the file when the block ends without an error.

    The draft is named ``NAME.TOKEN.draft``, so that two writers never share one. It is created empty,
    readable by its owner only. After an error it is removed.

    Args:
        durable: whether the new content survives a power cut once the block has ended.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
        yield draft
        if durable:
            sync(draft)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def replace(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file, text as UTF-8, in one step; see :func:`replacing`."""
    with replacing(path, durable=durable) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Write a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(path: Path) -> Stamp | None:
    """A file's stamp; None if there is no such file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
