"""Files that commands write, completely or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from core import files
from core.errors import PatronError


def check_place(out: Path, kinds: Collection[str]) -> None:
    """Refuse a file of a kind that cannot be written, or in a folder that is not there."""
    if out.suffix not in kinds:
        raise PatronError(f"{out}: a file name must end in {' or '.join(kinds)}")
    if not out.absolute().parent.is_dir():
        raise PatronError(f"{out}: there is no folder {out.absolute().parent}; make it first")


def write(parts: Iterable[bytes], out: Path) -> None:
    """Write a file in one step."""
    with files.replacing(out) as draft, open(draft, "wb") as file:
        file.writelines(parts)
