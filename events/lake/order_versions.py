"""Resolves one order: its versions, refunds and cancellations become rows that are valid for a time.

The rules. Of the versions known at a moment, the one stated last counts; the first ``Order Completed``
precedes all others. The order keeps its earliest time. Refunds are paid in order of arrival, in total at most
the order's value; a refund without an amount is the order's price of the product, or the rest of the order. A
refund without an order waits for it. A cancelled order has no rows: its cancellation lists no products, or
all of the order's. The rows of any moment are a function of the set of facts known then, so the order of
arrival does not change the final amounts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from events.lake.order_facts import LineFact, OrderMoney, RefundFact, Version, versions_of

MAX_REPEATED = 1_000_000
"""The maximum number of times that refunds are paid again because versions changed, per order. Beyond it, the
versions in between are skipped, so that a loop of corrections and refunds takes bounded time."""
_CENT = Decimal("0.0001")


@dataclass
class _OpenRow:
    """A row that is valid from ``since`` until it is closed."""

    row: LineFact | RefundFact
    since: datetime
    until: datetime | None = None

    def stored(self) -> tuple[Any, ...] | None:
        """The row; None if it was never valid."""
        since = max(self.row.received_at, self.since)
        if self.until is not None and self.until <= since:
            return None
        end = 10  # the number of columns of lines and refunds in the lake
        return (*self.row[:2], since, *self.row[3:end], self.until)


@dataclass
class _Book:
    """The state of an order as its facts arrive."""

    rows: list[_OpenRow] = field(default_factory=list)
    back: list[_OpenRow] = field(default_factory=list)
    open_lines: list[_OpenRow] = field(default_factory=list)
    paid: list[_OpenRow | None] = field(default_factory=list)  # the open row of each refund
    refunds: list[RefundFact] = field(default_factory=list)
    first: Version | None = None
    other: Version | None = None
    placed: tuple[datetime, int] | None = None
    shown: tuple[int, Any] | None = None
    left: Decimal = Decimal(0)
    voided: bool = False  # by a cancellation that lists no products
    listed: Counter[str] = field(default_factory=Counter)  # pieces cancelled by product
    repeated: int = 0

    @property
    def current(self) -> Version | None:
        return self.other or self.first

    def add_version(self, version: Version) -> None:
        self.placed = version.placed if self.placed is None else min(self.placed, version.placed)
        later: Version | None = version
        if not version.updated and (self.first is None or version.rank < self.first.rank):
            self.first, later = version, self.first
        if later is not None and (self.other is None or later.rank > self.other.rank):
            self.other = later

    def is_cancelled(self) -> bool:
        """Whether cancellations void the order or list all of its products."""
        version = self.current
        if self.voided or version is None or not self.listed:
            return self.voided
        pieces: Counter[str] = Counter()
        for line in version.lines:
            if line.product_id is None:
                return False
            pieces[line.product_id] += line.quantity
        return all(self.listed[product] >= count for product, count in pieces.items())

    def show(self, moment: datetime) -> None:
        """Bring the open rows to the current version, as known at a moment."""
        version = self.current
        if version is None:
            return
        cancelled = self.is_cancelled()
        moved = self.placed if self.placed is not None and self.placed < version.placed else None
        shown = (0, None) if cancelled else (id(version), moved)
        if shown == self.shown:
            return
        self.shown = shown
        for row in self.open_lines:
            row.until = moment
        self.open_lines = []
        if not cancelled:
            for line in version.lines:
                placed = line if moved is None else line._replace(timestamp=moved[0], day=moved[1])
                self.open_lines.append(_OpenRow(placed, moment))
            self.rows += self.open_lines
        self._pay_again(moment, cancelled)

    def _pay_again(self, moment: datetime, cancelled: bool) -> None:
        assert self.current is not None
        self.left = Decimal(0) if cancelled else self.current.amount
        refunds, before = self.refunds, self.paid
        self.refunds, self.paid = [], []
        self.repeated += len(refunds)
        for refund, row in zip(refunds, before, strict=True):
            self.pay(refund, moment, row)

    def pay(self, refund: RefundFact, moment: datetime, row: _OpenRow | None = None) -> None:
        """Pay a refund from the remaining value; ``row`` is the refund's open row."""
        self.refunds.append(refund)
        amount = min(self._requested(refund), self.left)
        self.left -= amount
        if row is not None and row.row.amount == amount:
            self.paid.append(row)
            return
        if row is not None:
            row.until = moment
        opened = _OpenRow(refund._replace(amount=amount, matched=True), moment) if amount > 0 else None
        if opened is not None:
            self.back.append(opened)
        self.paid.append(opened)

    def _requested(self, refund: RefundFact) -> Decimal:
        if refund.amount is not None:
            return refund.amount
        if refund.product_id is None or self.current is None:
            return self.left
        lines = [line for line in self.current.lines if line.product_id == refund.product_id]
        pieces = sum(line.quantity for line in lines)
        if not pieces:
            return Decimal(0)
        part = min(Decimal(refund.quantity) / Decimal(pieces), Decimal(1))
        return (sum((line.amount for line in lines), Decimal(0)) * part).quantize(_CENT)


def resolve(lines: Iterable[LineFact], refunds: Iterable[RefundFact]) -> OrderMoney:
    """The rows of one order of one customer.

    Args:
        lines: of all stated versions. refunds: all refunds and cancellations.
    """
    stated = list(refunds)
    versions, book = versions_of(lines), _Book()
    last = max((version.known_at for version in versions), default=None)
    for moment, fact in _arrivals(versions, stated):
        if isinstance(fact, Version):
            book.add_version(fact)
        else:
            _give_back(book, fact, moment)
        if book.repeated <= MAX_REPEATED or last is None or moment >= last:
            book.show(moment)
    return _money(book, versions, stated)


def _give_back(book: _Book, refunds: Sequence[RefundFact], moment: datetime) -> None:
    """Apply the refunds of one message."""
    if refunds[0].cancelled:
        if all(refund.product_id is None for refund in refunds):
            book.voided = True
            return
        for refund in refunds:
            if refund.product_id is not None:
                book.listed[refund.product_id] += refund.quantity
    for refund in refunds:
        if book.current is None:
            book.refunds.append(refund)
            book.paid.append(None)
        else:
            book.pay(refund, moment)


def _arrivals(
    versions: Sequence[Version], refunds: Sequence[RefundFact]
) -> Iterator[tuple[datetime, Version | list[RefundFact]]]:
    messages: dict[tuple[Any, ...], list[RefundFact]] = {}
    for i, refund in enumerate(refunds):
        number = -1 - i if refund.version is None else refund.version
        messages.setdefault((refund.received_at, number, bool(refund.cancelled)), []).append(refund)
    arrivals: list[tuple[tuple[Any, ...], datetime, Version | list[RefundFact]]] = []
    for version in versions:
        arrivals.append(((version.known_at, version.number, ""), version.known_at, version))
    for (moment, number, _), group in messages.items():
        # Without a number, ordered by content: the lake does not order its rows.
        content = "" if number >= 0 else repr([_content(refund) for refund in group])
        arrivals.append(((moment, max(number, 0), "~" + content), moment, group))
    arrivals.sort(key=lambda arrival: arrival[0])
    return ((moment, fact) for _, moment, fact in arrivals)


def _content(refund: RefundFact) -> tuple[str, ...]:
    return tuple(str(value) for value in (refund.timestamp, *refund[5:10]))


def _money(book: _Book, versions: Sequence[Version], stated: Sequence[RefundFact]) -> OrderMoney:
    lines = [row for opened in book.rows if (row := opened.stored()) is not None]
    back = [row for opened in book.back if (row := opened.stored()) is not None]
    current = book.current
    requested = sum((r.amount for r in stated if r.amount is not None and not r.cancelled), Decimal(0))
    surplus = Decimal(0) if current is None else max(Decimal(0), requested - current.amount)
    plain = (
        len(versions) == 1
        and not versions[0].updated
        and not any(refund.cancelled or refund.amount is None for refund in stated)
        and sorted(map(_as_stated, back)) == sorted(_as_stated((*r[:10], None)) for r in stated if r.amount)
        and all(refund.amount for refund in stated)
    )
    waiting = len(stated) if current is None else 0
    return OrderMoney(lines, back, plain, surplus, waiting, len(versions), book.is_cancelled())


def _as_stated(row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for i, value in enumerate(row) if i != 9)  # without the column `matched`
