"""Deduplication: which messages of a batch are new, by their ids and the digests of their bodies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from core.storage import batches
from core.storage.batches import Lookup
from events.journal.message import Message
from events.schema import SCHEMAS

_as_json = msgspec.json.Encoder().encode
_DIGEST_BYTES = 16
_ORDER_ID = list(SCHEMAS["order_lines"]).index("order_id") - 1  # rows have no customer_key


class JournalEntry(NamedTuple):
    """A message to be stored, and its rows as JSON."""

    message: Message
    events: str

    @classmethod
    def of(cls, message: Message) -> JournalEntry:
        """The entry of a message."""
        return cls(message, _as_json(message.rows).decode())


def new_entries(
    connection: sa.Connection,
    known: Mapping[bytes, bytes | None],
    digests: Sequence[bytes],
    arrived: Sequence[JournalEntry],
) -> tuple[dict[bytes, JournalEntry], list[bytes]]:
    """The messages that were not stored yet, by digest, and the digests of those with another's id.

    Args:
        known: the digests that are stored, each with the digest of its message's content.
    """
    fresh: dict[bytes, JournalEntry] = {}
    others: list[tuple[bytes, JournalEntry]] = []
    for digest, entry in zip(digests, arrived, strict=True):
        if digest not in fresh and digest not in known:
            fresh[digest] = entry
            continue
        before = fresh[digest].message.content if digest in fresh else known[digest]
        if before and entry.message.content and before != entry.message.content:
            renamed = _renamed(entry.message)
            others.append((message_digest(renamed.message_id), JournalEntry.of(renamed)))
    if not others:
        return fresh, []
    (stored,) = batches.fetch(connection, [stored_lookup([digest for digest, _ in others])])
    known_others = {digest for digest, _ in stored}
    conflicting = {digest: entry for digest, entry in others if digest not in known_others}
    return fresh | conflicting, list(conflicting)


def _renamed(message: Message) -> Message:
    """A message with an id of its own; an order that is known by the message's id is too."""
    message_id = f"{message.message_id}#{message.content.hex()}"
    lines = [
        [
            message_id if i == _ORDER_ID and value == message.message_id else value
            for i, value in enumerate(row)
        ]
        for row in message.rows.get("order_lines", ())
    ]
    rows = {**message.rows, "order_lines": lines} if lines else message.rows
    return replace(message, message_id=message_id, rows=rows)


def stored_lookup(digests: Sequence[bytes]) -> Lookup:
    """The lookup of those digests that are stored, each with the digest of its message's content."""
    return Lookup("SELECT digest, content FROM messages", "digest", list(dict.fromkeys(digests)))


def message_digest(message_id: str) -> bytes:
    """What a message's id is known by."""
    return hashlib.sha256(message_id.encode()).digest()[:_DIGEST_BYTES]
