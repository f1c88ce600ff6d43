"""Whose the events of a batch of messages are, while its messages join ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

import sqlalchemy as sa

from events import identity
from events.journal.message import Message


def named_ids(batch: Sequence[Message]) -> set[str]:
    """The ids that messages name as theirs or as the same customer's."""
    named = {message.customer_id for message in batch}
    return named | {message.joins for message in batch if message.joins is not None}


class BatchOwners:
    """The owners of the ids in a batch of messages, as they are while its messages join ids.

    Args:
        known: the owners of the ids that the messages name, before any of them.
        last_key: the lake's; new customers get higher keys.
    """

    def __init__(
        self,
        connection: sa.Connection,
        batch: Sequence[Message],
        known: Mapping[str, identity.Owner],
        last_key: int,
    ) -> None:
        self._connection, self.known = connection, dict(known)
        if named_ids(batch) - known.keys() or any(message.previous is not None for message in batch):
            identity.reserve(connection, last_key)

    def joins(self, message: Message) -> bool:
        """Whether a message may change who an id means."""
        if message.joins is None and message.previous is None:
            return False
        device, customer = self.known.get(message.joins or ""), self.known.get(message.customer_id)
        same = device is not None and customer is not None and device.customer_key == customer.customer_key
        return message.previous is not None or not same

    def join(self, message: Message, at_us: int, seq: int) -> None:
        """Join the ids of a message."""
        before = {
            self.known[id].customer_key for id in (message.joins, message.customer_id) if id in self.known
        }
        if message.previous is not None:
            identity.join_previous(self._connection, message.previous, message.customer_id, at_us, seq)
        if message.joins is not None:
            identity.join(self._connection, message.joins, message.customer_id, at_us, seq)
        changed = {message.customer_id, message.joins or message.customer_id}
        if message.previous is not None:
            changed |= set(self.known)
        elif len(before) > 1:  # other ids of either customer may lead elsewhere now
            changed |= {id for id, owner in self.known.items() if owner.customer_key in before}
        self.known |= identity.owners(self._connection, sorted(changed))

    def assign(self, batch: Sequence[Message]) -> None:
        """Give keys to the unknown customers of a batch, up to the first message that joins ids."""
        plain = takewhile(lambda message: not self.joins(message), batch)
        unknown = dict.fromkeys(m.customer_id for m in plain if m.customer_id not in self.known)
        keys = identity.assign(self._connection, list(unknown))
        self.known |= {customer_id: identity.Owner(key, key) for customer_id, key in keys.items()}
