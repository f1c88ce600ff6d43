"""The encoding of a text file, decided by decoding all of it."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from core.errors import PatronError

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 4 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 LE does, so it comes first
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MIN_ZERO_SHARE = 0.05  # of the bytes at even or odd places: separators and digits have one zero each
_MIN_COMMON_SHARE = 0.5  # of the characters beyond ASCII
_VALID_PER_ERROR = 10
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_LAST_COMMON_LEAD = 0xD7  # first byte; small accented letters of Western text are above
_C1_UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}  # in cp1252


def detect(path: Path) -> str:
    """The codec of a text file: utf-8, utf-16, utf-16-le, utf-16-be, utf-32, gb18030, cp1252 or latin-1.

    The first that fits: a byte order mark; zeros at every second byte; all bytes valid UTF-8; all bytes
    valid GB18030, most of whose characters are common (Western text that happens to be valid is read as
    rare characters); UTF-8 with some damaged bytes; else cp1252 where its own characters occur, and latin-1.
    """
    head = _head(path)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if (wide := _without_mark(head)) and decodes(path, wide):
        return wide
    if decodes(path, "utf-8"):
        return "utf-8"
    if _is_chinese(head) and decodes(path, "gb18030"):
        return "gb18030"
    if _is_damaged_utf8(head):
        return "utf-8"
    controls = {byte for chunk in _chunks(path) for byte in set(chunk) if 0x80 <= byte < 0xA0}
    return "cp1252" if controls and not controls & _C1_UNDEFINED else "latin-1"


def decodes(path: Path, encoding: str) -> bool:
    """Whether all of a file is valid in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def has_mark(path: Path) -> bool:
    """Whether a file begins with the byte order mark of UTF-8."""
    return _head(path, 3) == codecs.BOM_UTF8


def transcode(path: Path, encoding: str, out: Path, *, unix_ends: bool = False) -> int:
    """Write a text file as UTF-8 without a byte order mark.

    Args:
        unix_ends: whether every line shall end in ``\\n``.

    Returns:
        The number of damaged places of a UTF-8 file, each now U+FFFD.

    Raises:
        PatronError: the file is not in this encoding, unless it is damaged UTF-8.
    """
    lenient = encoding.lower().replace("_", "-") in ("utf-8", "utf8") and _is_damaged_utf8(_head(path))
    name = "utf-8-sig" if lenient or encoding == "utf-8" else encoding
    decoder = codecs.getincrementaldecoder(name)("replace" if lenient else "strict")
    damaged, pending = 0, ""
    with open(out, "w", encoding="utf-8", newline="") as written:
        try:
            for chunk in [*_chunks(path), b""] if lenient else _with_end(path):
                text = pending + decoder.decode(chunk, final=not chunk)
                pending = "\r" if unix_ends and chunk and text.endswith("\r") else ""
                text = text.removesuffix("\r") if pending else text
                damaged += text.count("\ufffd") if lenient else 0
                written.write(text.replace("\r\n", "\n") if unix_ends else text)
        except (UnicodeDecodeError, UnicodeEncodeError) as error:
            raise PatronError(
                f"{path.name}: this is not {encoding} throughout; it looks like {detect(path)}: correct the"
                " encoding in the mapping's [file], or leave it out; nothing was read"
            ) from error
    return damaged


def _with_end(path: Path) -> Iterator[bytes]:
    yield from _chunks(path)
    yield b""


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk


def _head(path: Path, size: int = SAMPLE_BYTES) -> bytes:
    with open(path, "rb") as opened:
        return opened.read(size)


def _without_mark(head: bytes) -> str | None:
    """UTF-16 by the zero bytes of its ASCII characters."""
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if max(zeros) < max(1, _MIN_ZERO_SHARE * len(head) / 2) or min(zeros) * 10 > max(zeros):
        return None
    name = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    text = codecs.getincrementaldecoder(name)("replace").decode(head[:CHUNK_BYTES])
    return None if _CONTROL.search(text) else name  # a binary file has zeros too


def _is_chinese(head: bytes) -> bool:
    """Whether most characters beyond ASCII are among the 3,755 most common, or punctuation."""
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(head)
    except UnicodeDecodeError:
        return False
    counts = Counter(character for character in text if character > "\x7f")
    common = sum(count for character, count in counts.items() if _is_common(character))
    return common > _MIN_COMMON_SHARE * counts.total()


def _is_common(character: str) -> bool:
    """Whether a character is of the first level of GB 2312, or of its punctuation and wide letters."""
    try:
        return character.encode("gb2312")[0] <= _LAST_COMMON_LEAD
    except UnicodeEncodeError:
        return False


def _is_damaged_utf8(head: bytes) -> bool:
    """Whether valid characters beyond ASCII outnumber the damaged places by far."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    errors = text.count("\ufffd")
    return errors > 0 and sum(character > "\x7f" for character in text) - errors > _VALID_PER_ERROR * errors
