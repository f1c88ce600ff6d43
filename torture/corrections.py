"""A million corrections of one order, as events and in files, and a loop of corrections and refunds.

Events go into the journal as the service stores them, and are compacted every 100,000. Fails if the order's
money is wrong, or if the last 100,000 take more than three times as long as the first.

    python -m torture.corrections [--count N] [--refunds] [--files]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.files import MAPPING
from core.home import Home
from core.storage.database import Database
from events import journal, lake
from events.files.imports import import_file
from events.identity import Identity
from events.journal import Message
from events.lake import compaction, shops
from events.lake.buckets import History
from events.segment.translate import Place, translate

PART = 100_000
BATCH = 2_000
PLACE = Place("Europe/Berlin", "EUR")
START = datetime(2024, 3, 1, tzinfo=UTC)
MAX_GROWTH = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description="A million corrections of one order.")
    parser.add_argument("--count", type=int, default=1_000_000, help="How many events or lines.")
    parser.add_argument("--refunds", action="store_true", help="Every second event is a refund.")
    parser.add_argument("--files", action="store_true", help="Two exports of an order of so many lines.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        if arguments.files:
            files(Path(name), arguments.count)
        else:
            events(Home(Path(name) / "home"), arguments.count, arguments.refunds)


def events(home: Home, count: int, refunds: bool) -> None:
    """Store and compact the events part by part, and check the order after each."""
    shops.begin_live(home, PLACE.time_zone, PLACE.currency)
    seconds = []
    for start in range(0, count, PART):
        began = time.perf_counter()
        database = Database(home)
        for first in range(start, min(start + PART, count), BATCH):
            messages = list(_messages(range(first, min(first + BATCH, count)), refunds))
            journal.append(database, messages, compacted_seq=lake.metadata(home).compacted_seq)
        stored = time.perf_counter()
        compaction.compact(home, database)
        compacted = time.perf_counter()
        tables = History(home, database).of([Identity(home).keys(["c1"])["c1"]])
        database.close()
        seconds.append(time.perf_counter() - began)
        _check(
            tables["order_lines"].to_pylist(),
            tables["refunds"].to_pylist(),
            min(start + PART, count),
            refunds,
        )
        print(
            f"{min(start + PART, count):>9,} events: stored in {stored - began:.1f} s, compacted in"
            f" {compacted - stored:.1f} s, read in {seconds[-1] - (compacted - began):.2f} s, {_memory()}"
        )
    if seconds[-1] > MAX_GROWTH * seconds[0]:
        raise SystemExit(f"the last part took {seconds[-1]:.1f} s, the first {seconds[0]:.1f} s")


def _messages(numbers: range, refunds: bool) -> Iterator[Message]:
    for i in numbers:
        refund = refunds and i % 2 == 1
        name = "Order Refunded" if refund else "Order Updated" if i else "Order Completed"
        message = {
            "type": "track", "messageId": f"m{i}", "userId": "c1", "event": name,
            "timestamp": (START + timedelta(seconds=i)).isoformat(),
            "properties": {"order_id": "1", "total" if refund else "revenue": 5 if refund else _amount(i)},
        }  # fmt: skip
        read = translate(message, START + timedelta(seconds=i), PLACE)
        if not isinstance(read, Message):
            raise SystemExit(f"the event is refused: {read.reason}")
        yield read


def _amount(number: int) -> int:
    return number % 7 + 1


def _check(lines: list[dict[str, object]], back: list[dict[str, object]], count: int, refunds: bool) -> None:
    """See that the last version counts, and no more is given back than it brought."""
    last = max(i for i in range(count - 2, count) if not (refunds and i % 2))
    expected = Decimal(_amount(last))
    given = min(expected, Decimal(5 * (count // 2))) if refunds else Decimal(0)
    valid = [[row["amount"] for row in rows if row["replaced_at"] is None] for rows in (lines, back)]
    if valid[0] != [expected] or sum(valid[1]) != given:  # type: ignore[arg-type]
        raise SystemExit(f"the order comes to {valid}, and {expected} less {given} is right")


def files(folder: Path, count: int) -> None:
    """Import an order of so many lines twice, corrected the second time."""
    home, mapping = Home(folder / "home"), folder / "items.toml"
    mapping.write_text(MAPPING)
    for name, amount in (("monday", "1.00"), ("friday", "2.00")):
        path = folder / f"{name}.csv"
        with open(path, "w") as file:
            file.write("customer,date,order,item,amount\n")
            file.writelines(f"c1,2024-03-01,1,p{i},{amount if i < 5 else '1.00'}\n" for i in range(count))
            file.write(f"c2,2024-03-{2 if name == 'monday' else 9:02},{name},x,1.00\n")
        began = time.perf_counter()
        done = import_file(home, str(path), str(mapping))
        print(f"{name}: {done['read']:,} lines in {time.perf_counter() - began:.1f} s, {_memory()}")
    if done.get("orders_corrected") != 1:
        raise SystemExit("the second export corrected no order")


def _memory() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MB at most"


if __name__ == "__main__":
    main()
