"""A build in PostgreSQL against one from files: the same values, and the time of both.

A simulated shop (:mod:`benchmarks.lakes`) in files, and its events in a PostgreSQL that this starts in a
temporary folder. ``ours`` is ``patron build --no-monthly`` in the warehouse, ``peer`` the same from files,
each in a process of its own: of everything, and then after one more day of events. Fails if values differ:
floats beyond 1e-9, everything else exactly.

    python -m benchmarks.warehouse [--events N]
"""

from __future__ import annotations

import argparse

from benchmarks.harness import report
from benchmarks.harness.postgres import postgres_programs, running_postgres
from benchmarks.warehouse.builds import compare
from benchmarks.warehouse.company import PostgresWarehouse
from core.errors import PatronError

EVENTS = 5_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="How long builds take in PostgreSQL and from files.")
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments, programs = parser.parse_args(), postgres_programs()
    if programs is None:
        raise PatronError("PostgreSQL is not installed; install its server, or put initdb on the path")
    with running_postgres(programs) as server, server.database() as address:
        report.publish("warehouse", compare(arguments.events, PostgresWarehouse(address)))


if __name__ == "__main__":
    main()
