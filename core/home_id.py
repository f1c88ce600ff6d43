"""The id of a home: made once, and stored in the home, its database, its online store and MLflow.

A store with another id belongs to another home and is refused. A home or store of an earlier release has no
id until its first write.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from core import files
from core.errors import PatronError
from core.home import Home

_PENDING, _RESTORING = ".pending", ".restoring"  # after the name of the file
SHORT = 8  # digits in messages


class AnotherHome(PatronError):
    """A store belongs to another home; nothing was read or changed."""


@dataclass(frozen=True)
class HomeId:
    """The content of ``home.id``.

    Attributes:
        id: 32 hexadecimal digits.
        adopted: whether stores without an id belong to this home, because an earlier release filled them.
        restored: a token of the last restore from a backup; "" if there was none. Features that were
            computed before it are not used.
    """

    id: str
    adopted: bool = False
    restored: str = ""

    @property
    def short(self) -> str:
        """The beginning of the id, for messages."""
        return self.id[:SHORT]

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self)) + "\n"


def has_shop(home: Home) -> bool:
    """Whether the folder contains a shop: its settings or its lake."""
    return home.settings_file.exists() or (home.events / "import.json").exists()


def read(home: Home) -> HomeId | None:
    """The id of a home; None if it has none yet.

    Raises:
        PatronError: the file is damaged, or a restore was interrupted.
    """
    if _marker_file(home, _RESTORING).exists():
        raise PatronError(
            f"a restore into {home.path} was interrupted; run `patron restore DIR --replace` again"
        )
    return _read(home.id_file)


def read_before_restore(home: Home) -> HomeId | None:
    """The id of a home, also if a restore was interrupted: then as it was before."""
    marker = _marker_file(home, _RESTORING)
    if not marker.exists():
        return _read(home.id_file)
    return _read(marker) if marker.stat().st_size else None


def read_pending(home: Home) -> HomeId | None:
    """The id that a home gets once its database has it; None if there is none."""
    return _read(_marker_file(home, _PENDING))


def propose(home: Home, proposed: HomeId) -> HomeId:
    """Store the id that the home gets once its database has it; see :func:`confirm`."""
    home.path.mkdir(parents=True, exist_ok=True)
    files.replace(_marker_file(home, _PENDING), proposed.to_json(), durable=True)
    return proposed


def confirm(home: Home) -> None:
    """Make the proposed id the home's. Another process may have done so already."""
    with suppress(FileNotFoundError):
        os.replace(_marker_file(home, _PENDING), home.id_file)
        files.sync(home.path)


def write(home: Home, own: HomeId) -> None:
    """Replace the id of a home."""
    home.path.mkdir(parents=True, exist_ok=True)
    files.replace(home.id_file, own.to_json(), durable=True)


@contextmanager
def restoring(home: Home, own: HomeId) -> Iterator[None]:
    """Make a home unusable while its files and database are exchanged; it then has another id file.

    A process that is killed meanwhile leaves the home unusable, until a restore succeeds. After an error the
    caller has put the old files back.
    """
    marker = _marker_file(home, _RESTORING)
    before = read_before_restore(home)
    files.replace(marker, before.to_json() if before is not None else "", durable=True)
    try:
        yield
    except Exception:
        marker.unlink()
        raise
    write(home, own)
    marker.unlink()
    files.sync(home.path)


def new(*, adopted: bool = False) -> HomeId:
    """A new id."""
    return HomeId(uuid4().hex, adopted)


def restore_token() -> str:
    """A new value of :attr:`HomeId.restored`."""
    return secrets.token_hex(4)


def refuse(store: str, stored: str | None, own: HomeId | None, setting: str) -> AnotherHome:
    """The error for a store of another home.

    Args:
        store: its name, which begins the sentence. stored: its id; None for a store without one.
        setting: the environment variable with the store's address.
    """
    mine = f"this home is {own.short}" if own is not None else "this home has no id"
    if stored is None:
        return AnotherHome(
            f"{store} contains the data of a home without an id, and {mine}; nothing was changed. Set"
            f" {setting} to an empty one, or confirm with `patron init --attach` that it belongs to this home"
        )
    return AnotherHome(
        f"{store} belongs to another home ({stored[:SHORT]}), and {mine}; nothing was changed."
        f" Set PATRON_HOME and {setting} to two that belong together, or {setting} to an empty one"
    )


def _marker_file(home: Home, suffix: str) -> Path:
    return home.id_file.with_name(home.id_file.name + suffix)


def _read(path: Path) -> HomeId | None:
    try:
        return HomeId(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise PatronError(f"{path} is damaged; restore it from a backup") from error
