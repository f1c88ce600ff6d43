"""Opinions: an event table derived from the texts of ``activities``, one row per text.

Each text is classified on its own, so the result is the same in a build, live and in a notebook, and it is
not stored. The classifier is one file of the home, installed when a version of ``feedback`` is promoted.
Without a classifier, topics are still found, and how content an author is stays unknown. A change of the
classifier changes the definitions of the features that read opinions: see
:mod:`features.catalogue.definitions`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
from ibis.backends.sql import SQLBackend

import core.files
from core.errors import PatronError
from core.home import Home
from events.schema import OPINIONS, Events
from features.text.lexicon import LEXICON
from features.text.topics import mentions

if TYPE_CHECKING:
    from features.text.classifier import TextClassifier

KINDS = ("reviewed", "complaint_opened", "survey_answered")
PROPERTIES = ("review_body", "text", "comment", "message")  # the first one that is a text is read
BETWEEN = ","
AT_ONCE, MAX_CACHED_TEXTS = 10_000, 100_000  # texts
RECIPE = 1  # raise it if the same classifier and lexicon give other opinions
Read: TypeAlias = tuple[Decimal | None, Decimal | None, str]
"""Content, confidence and topics."""
_SCHEMA = ibis.schema(OPINIONS).to_pyarrow()
_READ = ("content", "confidence", "topics")
_OWN_TIME = (1980, 1, 1, 0, 0, 0)  # of every file in the archive, so that equal classifiers have equal bytes


@dataclass(frozen=True)
class TextReader:
    """Reads texts with the home's classifier, if it has one.

    Recent results are cached by a digest of the text, since the live path reads the same few texts again.
    """

    file: bytes | None = field(default=None, repr=False)
    _known: dict[bytes, Read] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, home: Home) -> TextReader:
        """The reader of a home."""
        try:
            return cls(home.text_classifier.read_bytes())
        except FileNotFoundError:
            return cls()

    @cached_property
    def recipe(self) -> str:
        """A short digest of the classifier and of the words of the topics."""
        learnt = None if self.file is None else hashlib.sha256(self.file).hexdigest()
        return hashlib.sha256(repr((RECIPE, learnt, LEXICON)).encode()).hexdigest()[:12]

    @cached_property
    def classifier(self) -> TextClassifier | None:
        """The classifier; None if the home has none.

        Raises:
            PatronError: the file is damaged.
        """
        from features.text.classifier import TextClassifier  # imports SciPy, which delays a service's start

        if self.file is None:
            return None
        try:
            with zipfile.ZipFile(io.BytesIO(self.file)) as archive:
                return TextClassifier.from_files({name: archive.read(name) for name in archive.namelist()})
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise PatronError(
                "the home's classifier of texts is damaged; run `patron rollback feedback`, or train it again"
            ) from error

    def opinions(self, activities: pa.Table) -> pa.Table:
        """The opinions of activities, in their order.

        Raises:
            PatronError: see :attr:`classifier`.
        """
        rows = activities.filter(pc.is_in(activities["kind"], pa.array(KINDS)))
        texts = [text_of(properties) for properties in rows["properties"].to_pylist()]
        rows = rows.filter(pa.array([text is not None for text in texts], pa.bool_()))
        read = self._read([text for text in texts if text is not None])
        columns = {name: read[name] if name in _READ else rows[name] for name in OPINIONS}
        return pa.table(columns).cast(_SCHEMA)

    def _read(self, texts: Sequence[str]) -> dict[str, pa.Array]:
        rows: list[Read] = []
        for start in range(0, len(texts), AT_ONCE):
            rows += self._some(texts[start : start + AT_ONCE])
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        return {n: pa.array(c, _SCHEMA.field(n).type) for n, c in zip(_READ, columns, strict=True)}

    def _some(self, texts: Sequence[str]) -> list[Read]:
        if len(self._known) > MAX_CACHED_TEXTS:
            self._known.clear()
        digests = [
            hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts
        ]
        new = {d: text for d, text in zip(digests, texts, strict=True) if d not in self._known}
        self._known.update(zip(new, self._judged([*new.values()]), strict=True))
        return [self._known[d] for d in digests]

    def _judged(self, texts: Sequence[str]) -> list[Read]:
        """The opinion of each text, independent of the others; in decimals, whose sums ignore their order."""
        topics = [BETWEEN.join(["", *(m.topic for m in mentions(text)), ""]) for text in texts]
        if self.classifier is None or not texts:
            return [(None, None, mentioned) for mentioned in topics]
        predicted = self.classifier.predict(texts)
        shares = (
            [Decimal(f"{s:.6f}") for s in some.tolist()]
            for some in (predicted.probability, predicted.confidence)
        )
        return [*zip(*shares, topics, strict=True)]


def text_of(properties: str | None) -> str | None:
    """The text in an activity's properties, which are JSON; None if there is none."""
    content = json.loads(properties) if properties else None
    if not isinstance(content, dict):
        return None
    texts = (content.get(name) for name in PROPERTIES)
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def with_opinions(backend: SQLBackend, events: Events, reader: TextReader) -> Events:
    """The event tables with the table of opinions of their activities."""
    return replace(events, opinions=ibis.memtable(reader.opinions(backend.to_pyarrow(with_text(events)))))


def with_text(events: Events) -> ir.Table:
    """The activities that may have a text, with the columns that :meth:`TextReader.opinions` reads."""
    activities = events.activities.filter(events.activities.kind.isin(KINDS))
    return activities.select(*(name for name in OPINIONS if name not in _READ), "properties")


def stamp(home: Home) -> core.files.Stamp | None:
    """The stamp of the home's classifier; None if there is none."""
    return core.files.stamp(home.text_classifier)


def install(home: Home, files: Mapping[str, bytes]) -> None:
    """Install a classifier as the reader of this home's texts, in one step.

    Args:
        files: see :meth:`features.text.classifier.TextClassifier.to_files`.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _OWN_TIME), files[name])
    core.files.replace(home.text_classifier, packed.getvalue())
