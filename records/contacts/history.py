"""The contacts of customers within a transaction that decides for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import sqlalchemy as sa

from records.contacts import ledger
from records.contacts.contact import Contact, ContactReservation

Merged: TypeAlias = Callable[[sa.Connection, Sequence[int]], Mapping[int, Iterable[int]]]
"""Reads the keys that were merged into some customers, by the customer's key."""


def unmerged(_connection: sa.Connection, _keys: Sequence[int]) -> Mapping[int, Iterable[int]]:
    """No customer was merged."""
    return {}


class ContactHistory:
    """The contacts of customers, with the reservations that the transaction makes.

    Args:
        now: by the shop's clock.
        rules: only reservations of decisions by the rules of this digest count; None for all.
        merged: the contacts of customers who were merged into one of them count as that customer's.
    """

    def __init__(
        self,
        connection: sa.Connection,
        keys: Sequence[int],
        now: datetime,
        merged: Merged = unmerged,
        rules: str | None = None,
    ) -> None:
        self._connection = connection
        others = merged(connection, keys)
        self._groups = {key: {key, *others.get(key, ())} for key in keys}
        members = sorted(set().union(*self._groups.values()))
        self._contacts = ledger.read(connection, members, now, rules)

    def of(self, key: int) -> list[Contact]:
        """The contacts of a customer, reservations included."""
        return [contact for member in self._groups[key] for contact in self._contacts[member]]

    def reserve(self, key: int, decision_id: str, reservation: ContactReservation | None) -> None:
        """Write the reservation of a decision, if it has one."""
        if reservation is not None:
            self._contacts[key].append(ledger.reserve(self._connection, key, decision_id, reservation))
