"""Files that are written in one step or as a stream, and archives of several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZipFile

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


def zipped(named: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """A .zip of files, each a name and its pieces, in pieces; a file has at most 2 GiB."""
    sink = Sink()
    with ZipFile(cast(IO[bytes], sink), "w", ZIP_DEFLATED) as archive:
        for name, chunks in named:
            with archive.open(name, "w") as file:
                for chunk in chunks:
                    file.write(chunk)
                    if piece := sink.take():
                        yield piece
    yield sink.take()


class Sink:
    """A file whose content is taken out as it is written."""

    closed = False

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the data; returns its length."""
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def take(self) -> bytes:
        """What was written since the last call."""
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)
