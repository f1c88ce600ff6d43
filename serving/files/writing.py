"""Files that commands write: where they may lie, and that they are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from core.errors import PatronError


def check_place(out: Path, kinds: Collection[str]) -> None:
    """Refuse a file of a kind that cannot be written, or in a folder that is not there."""
    if out.suffix not in kinds:
        raise PatronError(f"{out}: a file name must end in {' or '.join(kinds)}")
    if not out.absolute().parent.is_dir():
        raise PatronError(f"{out}: there is no folder {out.absolute().parent}; make it first")


def draft_of(out: Path) -> Path:
    """Where a file is written until it is whole."""
    return out.with_suffix(f".draft{out.suffix}")


def write(parts: Iterable[bytes], out: Path) -> None:
    """Write a file in one step."""
    draft = draft_of(out)
    with open(draft, "wb") as file:
        file.writelines(parts)
    os.replace(draft, out)
