"""Privacy on a shared machine: files of a home are readable by their owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from core.home import Home

UMASK = 0o077
"""Removes the permissions of the group and of others from every file that a process creates."""


def restrict_umask() -> None:
    """Create files 0600 and folders 0700 from now on; child processes inherit this."""
    os.umask(UMASK)


def tighten(home: Home) -> None:
    """Remove the permissions of the group and of others from a home that an earlier Patron created.

    A home that is private at its top is not searched. Files that belong to another user are left as they
    are; ``patron doctor`` reports them.
    """
    if not any(map(_is_open, (home.path, *_entries(home)))):
        return
    for entry in _entries(home):
        for folder, _, names in os.walk(entry, topdown=False):
            for name in names:
                _restrict(Path(folder, name))
            _restrict(Path(folder))
        _restrict(entry)
    _restrict(home.path)  # last: a walk that was interrupted is repeated


def open_paths(home: Home) -> Iterator[Path]:
    """The files and folders of a home that other users may read, write or enter, if they reach them."""
    if _is_open(home.path):
        yield home.path
    for entry in _entries(home):
        if _is_open(entry):
            yield entry
        for folder, folders, names in os.walk(entry):
            yield from filter(_is_open, (Path(folder, name) for name in (*folders, *names)))


def _entries(home: Home) -> list[Path]:
    """What exists of the paths that :class:`Home` names, with SQLite's logs and backups next to them.

    Nothing else: the folder may contain other files of its owner.
    """
    names = {
        value.relative_to(home.path).parts[0]
        for name, member in vars(Home).items()
        if isinstance(member, property) and isinstance(value := getattr(home, name), Path)
    }
    return sorted({path for name in names for path in home.path.glob(f"{name}*")})


def _is_open(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not stat.S_ISLNK(mode) and bool(mode & UMASK)


def _restrict(path: Path) -> None:
    if _is_open(path):
        with suppress(OSError):  # of another user, on a read-only disk, or deleted meanwhile
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~UMASK)
