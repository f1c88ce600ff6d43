"""Ingestion: events per second that are durable, and what an event costs, against bare inserts of its rows.

``ours`` is ``patron serve`` of two workers: batches of a hundred over HTTP, with a key, each acknowledged
once it is durable. ``limit`` is two processes that insert the same rows, already translated, into the same
tables: a durable commit for each batch, ``executemany`` in SQLite and ``COPY`` in PostgreSQL. Both sides are
measured in turn. ``ingest_cpu_*`` is the processor time per event, in the service and in PostgreSQL, without
clients; unlike the rate it depends little on what else the machine does.

    python -m benchmarks.ingestion [--events N] [--rounds N] [--clients N]
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import processes, report, rounds, service
from benchmarks.harness.messages import Client, encode_batch, stream
from benchmarks.harness.postgres import PostgresServer, postgres_programs, running_postgres
from core import locks
from core.calendar import micros
from core.home import Home
from core.storage.database import Database
from events.journal import Message
from events.journal.deduplication import message_digest
from events.segment.translate import Place, translate
from events.segment.values import json_text

CUSTOMERS = 6000
BATCH, CLIENTS, WORKERS = 100, 4, 2
EVENTS, ROUNDS = 40_000, 5
PLACE = Place("Europe/Berlin", "EUR")
_SERVICE = {"PATRON_REQUIRE_KEYS": "true", "PATRON_REFRESHER": "off"}

Messages = Iterator[dict[str, Any]]
Rows = tuple[list[tuple[bytes, bytes]], list[tuple[int, int, int, str]]]
"""The rows of a batch in ``messages`` and in ``journal``."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast events become durable.")
    parser.add_argument("--events", type=int, default=EVENTS, help="Events per round.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="How often each side is measured.")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="Requests at a time.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.events, arguments.rounds, arguments.clients)
        report.publish("ingestion", results)


def measure(
    folder: Path, events: int = EVENTS, times: int = ROUNDS, clients: int = CLIENTS
) -> dict[str, report.Result]:
    """``ingest_*`` (events/s) and ``ingest_cpu_*`` (µs/event), in a file and, if installed, in PostgreSQL."""
    results = _measure(folder, "embedded", None, events, times, clients)
    if programs := postgres_programs():
        with running_postgres(programs) as server:
            results |= _measure(folder, "postgres", server, events, times, clients)
    return results


def _measure(
    folder: Path, kind: str, server: PostgresServer | None, events: int, times: int, clients: int
) -> dict[str, report.Result]:
    with ExitStack() as stack:
        addresses = [stack.enter_context(server.database()) if server else None for _ in range(2)]
        environment = _SERVICE | ({"PATRON_DATABASE": addresses[0]} if addresses[0] else {})
        home, bare = folder / kind, Home(folder / f"bare-{kind}", addresses[1])
        shop = ("--time-zone", PLACE.time_zone, "--currency", PLACE.currency)
        service.run_command(home, environment, "init", *shop)
        bare.path.mkdir()
        Database(bare).prepare()
        key = service.create_key(home, environment)
        api = stack.enter_context(service.serving(home, folder, environment, WORKERS))
        processes.wait_until_idle(api.process.pid)  # it loads the console's pages after its start
        database = [server.pid] if server else []
        streams = (stream(seed, CUSTOMERS) for seed in count())
        sides = {
            "ours": lambda _: _send(
                next(streams), events, clients, api.port, key, [api.process.pid, *database]
            ),
            "limit": lambda number: _insert(next(streams), events, bare, number * events, database),
        }
        measured = rounds.interleaved(sides, times)
    ours, limit = measured["ours"], measured["limit"]
    return {
        f"ingest_{kind}": report.Result(ours["rate"], "events/s", limit=limit["rate"], better="higher"),
        f"ingest_cpu_{kind}": report.Result(ours["cpu"], "µs/event", limit=limit["cpu"]),
    }


def _send(
    messages: Messages, events: int, clients: int, port: int, key: str, pids: Sequence[int]
) -> rounds.Measured:
    """Send events by several clients at a time; the batches are encoded before."""
    bodies = [encode_batch(list(islice(messages, BATCH))) for _ in range(events // BATCH)]

    def send(number: int) -> None:
        client = Client(port, key)
        for body in bodies[number::clients]:
            if (status := client.send_encoded(body)) != 200:
                raise RuntimeError(f"a batch was answered {status}")

    with ThreadPoolExecutor(clients) as threads:
        cpu, started = sum(map(processes.cpu_seconds, pids)), time.perf_counter()
        list(threads.map(send, range(clients)))
        seconds = time.perf_counter() - started
        cpu = sum(map(processes.cpu_seconds, pids)) - cpu
    return _per_event(events, seconds, cpu)


def _insert(
    messages: Messages, events: int, home: Home, last_seq: int, pids: Sequence[int]
) -> rounds.Measured:
    """Insert the rows of events by several processes at a time; the rows are translated before."""
    batches = [_rows(islice(messages, BATCH), last_seq + at) for at in range(0, events, BATCH)]
    insert = _insert_postgres if home.database else _insert_sqlite
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * WORKERS))  # so that each process has started
        cpu, start = sum(map(processes.cpu_seconds, pids)), time.perf_counter() + 0.5
        parts = [batches[number::WORKERS] for number in range(WORKERS)]
        ends, cpus = zip(*pool.map(partial(_insert_at, insert, home, start), parts), strict=True)
        cpu = sum(map(processes.cpu_seconds, pids)) - cpu
    return _per_event(events, max(ends) - start, cpu + sum(cpus))


def _insert_at(
    insert: Callable[[Home, Sequence[Rows]], None], home: Home, start: float, batches: Sequence[Rows]
) -> tuple[float, float]:
    """Insert batches from a moment on; returns the moment of the end and the processor time, in seconds."""
    time.sleep(max(0.0, start - time.perf_counter()))
    cpu = time.process_time()
    insert(home, batches)
    return time.perf_counter(), time.process_time() - cpu


def _insert_sqlite(home: Home, batches: Sequence[Rows]) -> None:
    with (
        closing(sqlite3.connect(home.database_file, isolation_level=None)) as database,
        open(home.path / "turn", "ab") as turn,  # SQLite's own waiting sleeps
    ):
        database.execute("PRAGMA synchronous = FULL")
        for messages, journal in batches:
            locks.wait(turn)
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO messages VALUES (?, ?)", messages)
            database.executemany("INSERT INTO journal VALUES (?, ?, ?, ?)", journal)
            database.execute("COMMIT")
            locks.release(turn)


def _insert_postgres(home: Home, batches: Sequence[Rows]) -> None:
    import psycopg

    with psycopg.connect(home.database or "") as database, database.cursor() as cursor:
        for messages, journal in batches:
            for table, rows in (("messages", messages), ("journal", journal)):
                with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            database.commit()


def _rows(messages: Iterable[dict[str, Any]], last_seq: int) -> Rows:
    """The rows that the service stores for messages; customers get keys by the numbers in their ids."""
    at = datetime.now(UTC)
    translated = [translate(message, at, PLACE) for message in messages]
    stored = [message for message in translated if isinstance(message, Message)]
    return (
        [(message_digest(message.message_id), message.content) for message in stored],
        [
            (seq, int(message.customer_id[1:]), micros(at), json_text(message.rows))
            for seq, message in enumerate(stored, last_seq + 1)
        ],
    )


def _per_event(events: int, seconds: float, cpu_seconds: float) -> rounds.Measured:
    """``rate`` in events per second, and ``cpu`` in microseconds per event."""
    return {"rate": events / seconds, "cpu": 1e6 * cpu_seconds / events}


if __name__ == "__main__":
    main()
