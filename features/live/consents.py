"""The consents of some customers, which decisions read; see :mod:`features.live.consent_statements`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import Identity
from features.live.consent_statements import (
    NONE,
    STATEMENTS,
    TABLES,
    ChannelConsent,
    StatementFiles,
    latest_statements,
    of_files,
    stored_statements,
)

ByChannel: TypeAlias = dict[str, ChannelConsent]


class Consents:
    """Reads the consents of a home's customers. Threads may share it.

    The statements in the lake are read once per version of the lake, for all customers, and again once a
    statement of a later moment becomes visible. Those that arrived since are read from the journal. Of a
    warehouse they are those of the last build.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._database = Database(home)
        self._identity = Identity(home, self._database)
        self._lock = threading.Lock()
        self._loaded: tuple[str, datetime, _Statements] | None = None
        self._backend = lake.connect()

    def of(self, keys: Sequence[int], as_of: datetime) -> dict[int, ByChannel]:
        """The consents of customers by key and channel, with those of the customers merged into them.

        Raises:
            PatronError: the lake is missing or cannot be read.
        """
        groups: dict[int, set[int]] = {key: {key} for key in keys}
        for merge in self._identity.merges(into=keys):
            groups[merge.into].add(merge.customer_key)
        members = sorted(set().union(*groups.values()))
        files, arrived = stored_statements(self._home, self._database, members)
        statements = [self._of_files(files, as_of)]
        tables = {name: arrived[name] for name in TABLES if name in arrived}
        if any(table.num_rows for table in tables.values()):
            cursor = self._backend.con.cursor()  # one per call, since threads share the connection
            for name, table in tables.items():
                cursor.register(name, table)
            statements.append(_Statements(latest_statements(cursor, {name: name for name in TABLES}, as_of)))
        return {
            key: _latest(known.of(member) for member in group for known in statements)
            for key, group in groups.items()
        }

    def _of_files(self, files: StatementFiles, as_of: datetime) -> _Statements:
        with self._lock:
            if self._loaded is None or self._loaded[0] != files.stamp or as_of > self._loaded[1]:
                table, complete_until = of_files(self._backend.con.cursor(), files, as_of)
                self._loaded = files.stamp, complete_until, _Statements(table)
            return self._loaded[2]


class _Statements:
    """Statements of customers, sorted by key."""

    def __init__(self, table: pa.Table) -> None:
        table = table.sort_by("customer_key")
        self._keys = table["customer_key"].to_numpy()
        self._channels = table["channel"].combine_chunks()
        self._moments = np.column_stack([table[name].to_numpy() for name in STATEMENTS])

    def of(self, key: int) -> ByChannel:
        """The statements of a customer by channel."""
        start, end = np.searchsorted(self._keys, [key, key + 1])
        return {
            str(self._channels[int(i)].as_py()): ChannelConsent(*self._moments[i].tolist())
            for i in range(start, end)
        }


def _latest(consents: Iterable[ByChannel]) -> ByChannel:
    """The latest moment of each statement."""
    latest: ByChannel = {}
    for by_channel in consents:
        for channel, consent in by_channel.items():
            known = latest.get(channel, NONE)
            latest[channel] = ChannelConsent(*map(max, zip(known, consent, strict=True)))
    return latest
