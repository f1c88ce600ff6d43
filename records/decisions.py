"""The log of decisions, in the home's database; outcomes and runs are part of it.

A decision is committed before the response is sent, so it survives a killed process and a power cut. Rows
name customers by ``customer_key`` only. A single write transaction at a time looks for a standing decision,
reads the customer's contacts, decides, writes the decision and reserves its place within the contact limits.
Therefore concurrent requests for a customer, in whichever processes, get the same decision and exceed no
limit.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import sqlalchemy as sa

from core.home import Home
from core.storage.connections import Turn
from core.storage.database import Database, WriteRows, insert
from records.contacts import Contact
from records.contacts.history import ContactHistory, Merged, unmerged
from records.contacts.spending import Spent
from records.contacts.standing import find_standing
from records.decision import Choice, Decision, DecisionRequest, of_row, row_of
from records.tables import decisions, rules, run_rows, salts

Choose: TypeAlias = Callable[[int, Sequence[Contact], Spent], Choice]
"""Chooses for a customer by key, contacts, and what was used of budgets."""


class DecisionLog:
    """The decision log of a home. Threads may share it; close it at the end."""

    def __init__(self, home: Home) -> None:
        self.home, self.database = home, Database(home)
        with self.writing() as connection:
            first = insert(connection, salts).on_conflict_do_nothing()
            connection.execute(first, {"id": 1, "salt": secrets.token_bytes(32)})
            self.salt: bytes = connection.execute(sa.select(salts.c.salt)).scalar_one()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A read-only connection with a consistent snapshot of the log."""
        return self.database.reading()

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction, serialised with all others that decide."""
        return self.database.writing(Turn.DECISIONS)

    def keep_rules(self, digest: str, content: str) -> None:
        """Store the rules of a digest, for later readers of the log."""
        with self.writing() as connection:
            known = insert(connection, rules).on_conflict_do_nothing()
            connection.execute(known, {"digest": digest, "content": content})

    def rules(self, digest: str) -> str | None:
        """The stored rules of a digest; None for an unknown one."""
        with self.reading() as connection:
            return connection.execute(sa.select(rules.c.content).where(rules.c.digest == digest)).scalar()

    def standing(self, keys: Iterable[int], question: DecisionRequest) -> dict[int, Decision]:
        """The standing decisions for this request, by customer."""
        with self.reading() as connection:
            standing = {key: _standing(connection, key, question) for key in keys}
        return {key: of_row(row) for key, row in standing.items() if row is not None}

    def decide(
        self,
        keys: Sequence[int],
        question: DecisionRequest,
        choose: Choose,
        places: Sequence[int] = (),
        merged: Merged = unmerged,
        also_write: WriteRows | None = None,
        *,
        anew: bool = False,
    ) -> dict[int, Decision]:
        """Decide for customers who have no standing decision; all are committed on return.

        Args:
            keys: without duplicates.
            choose: called with a customer's key and contacts, reservations included, and what was used of
                budgets.
            places: the positions of the customers in the request's run, which lists the decisions.
            merged: the keys that were merged into customers, whose contacts count as theirs.
            also_write: writes further rows in the same transaction.
            anew: decide for those with a standing decision, too.
        """
        decided, numbers = {}, []
        with self.writing() as connection:
            if also_write is not None:
                also_write(connection)
            history = ContactHistory(connection, keys, question.at, merged, question.counted_rules)
            spent = Spent(connection, question.at, question.budget_days, question.counted_rules)
            for key in keys:
                standing = None if anew else _standing(connection, key, question)
                if standing is None:
                    choice = choose(key, history.of(key), spent)
                    decided[key] = Decision(uuid.uuid4().hex, key, question, choice)
                    made = connection.execute(_INSERT, row_of(decided[key])).inserted_primary_key
                    assert made is not None
                    numbers.append(int(made[0]))
                    history.reserve(key, decided[key].id, choice.reservation)
                    spent.reserve(decided[key].id, question.rules, choice.reservation)
                else:
                    decided[key] = of_row(standing)
                    numbers.append(int(standing.n))
            if places:
                listed = zip(places, numbers, strict=True)
                connection.execute(
                    sa.insert(run_rows),
                    [{"run_id": question.run_id, "place": place, "decision": n} for place, n in listed],
                )
        return decided

    def preview(
        self,
        keys: Sequence[int],
        question: DecisionRequest,
        choose: Choose,
        merged: Merged = unmerged,
        spent: Spent | None = None,
    ) -> dict[int, Decision]:
        """What :meth:`decide` would return now; nothing is written. New decisions have an empty id.

        Args:
            spent: as :meth:`spent` returned it, with what earlier previews would use; None for none.
        """
        previewed = {}
        spent = spent or self.spent(question)
        with self.reading() as connection:
            history = ContactHistory(connection, keys, question.at, merged, question.counted_rules)
            for key in keys:
                standing = _standing(connection, key, question)
                if standing is None:
                    previewed[key] = Decision("", key, question, choose(key, history.of(key), spent))
                    spent.reserve("", question.rules, previewed[key].choice.reservation)
                else:
                    previewed[key] = of_row(standing)
        return previewed

    def spent(self, question: DecisionRequest) -> Spent:
        """What was used of budgets, for previews and plans."""
        with self.reading() as connection:
            days, rules = question.budget_days, question.counted_rules
            return Spent(connection, question.at, days, rules, reading=True)


_INSERT = sa.insert(decisions)  # compiled once, since it runs for each customer


def _standing(connection: sa.Connection, key: int, request: DecisionRequest) -> sa.Row[Any] | None:
    channels = json.dumps(request.channels)
    return find_standing(connection, key, request.day, channels, request.rules, request.at)
