"""Batches without anything unusual, stored in PostgreSQL by one statement.

In such a batch no message came before, every id is known, and no message makes two customers one. Its rows
need no decision between reading and writing. So the statement does all of it in one round trip, while the
database waits for nobody; of any other batch it stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.calendar import micros
from core.storage.batches import Statement
from core.storage.connections import Turn
from core.storage.database import Database
from events.journal.deduplication import JournalEntry

_STORE = """
WITH arrived AS MATERIALIZED (
  SELECT * FROM unnest(?::bytea[], ?::bytea[], ?::text[], ?::text[], ?::bigint[], ?::text[])
    WITH ORDINALITY AS a (digest, content, customer_id, joins, received_at_us, events, n)
), owned AS MATERIALIZED (
  SELECT a.*, c.customer_key, coalesce(c.origin_key, c.customer_key) AS stored_under
  FROM arrived a JOIN customer_ids c ON c.customer_id = a.customer_id
), counted AS (
  UPDATE journal_counter SET last_seq = greatest(last_seq, ?) + (SELECT count(*) FROM arrived)
  WHERE (SELECT count(*) FROM owned) = (SELECT count(*) FROM arrived)
    AND NOT EXISTS (SELECT FROM arrived a JOIN messages m ON m.digest = a.digest)
    AND NOT EXISTS (
      SELECT FROM owned o LEFT JOIN customer_ids j ON j.customer_id = o.joins
      WHERE o.joins IS NOT NULL AND j.customer_key IS DISTINCT FROM o.customer_key
    )
  RETURNING last_seq - (SELECT count(*) FROM arrived) AS before
), known AS (
  INSERT INTO messages (digest, content) SELECT digest, content FROM owned, counted
)
INSERT INTO journal (seq, customer_key, received_at_us, events)
SELECT before + n, stored_under, received_at_us, events FROM owned, counted
RETURNING seq
"""


def store(
    database: Database, digests: Sequence[bytes], entries: Sequence[JournalEntry], compacted_seq: int
) -> bool:
    """Store a batch durably if there is nothing unusual; whether it was stored.

    Args:
        digests: of the ids of the messages.
        compacted_seq: as of :func:`events.journal.append`.

    Raises:
        PatronError: the database cannot be used; nothing was stored.
    """
    messages = [entry.message for entry in entries]
    # For a single message the steps take as long, and a failed attempt would be a round trip more.
    if len(messages) < 2 or len(set(digests)) < len(digests):
        return False
    if any(message.previous is not None or message.doubt is not None for message in messages):
        return False
    values = (
        list(digests),
        [message.content for message in messages],
        [message.customer_id for message in messages],
        [message.joins for message in messages],
        [micros(message.received_at) for message in messages],
        [entry.events for entry in entries],
        compacted_seq,
    )
    return bool(database.write_at_once(Statement(_STORE, values), Turn.EVENTS))
