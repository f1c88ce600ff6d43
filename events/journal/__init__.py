"""The journal: events that arrived over HTTP, durable and in order, until the lake holds them.

Each message is one row with its canonical events as JSON, numbered by ``seq``. The lake contains the
messages up to its ``compacted_seq``; a reader takes the lake and the messages after that number.

An older copy of the database may be restored beside a newer lake. Its counter is then below
``compacted_seq``, and readers would never see a message with a number in between. Every function that gives
out numbers therefore takes the lake's ``compacted_seq`` and raises the counter to it in its own transaction.
"""

from events.journal.message import Message, Refused, Rows, partial_id
from events.journal.reading import Changes, arrived, changes, last, last_received, oldest, tables, tail
from events.journal.schema import counter, journal, messages, newest, quarantine
from events.journal.writing import (
    Appended,
    advance_to,
    append,
    before_first,
    clear,
    count_conflicts,
    count_stored,
    forget,
    reserve_number,
    split,
)

__all__ = [
    "Appended",
    "Changes",
    "Message",
    "Refused",
    "Rows",
    "advance_to",
    "append",
    "arrived",
    "before_first",
    "changes",
    "clear",
    "count_conflicts",
    "count_stored",
    "counter",
    "forget",
    "journal",
    "last",
    "last_received",
    "messages",
    "newest",
    "oldest",
    "partial_id",
    "quarantine",
    "reserve_number",
    "split",
    "tables",
    "tail",
]
