"""Importing files and database tables of orders into a home."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from core.calendar import midnight, parse_moment
from core.declarations import traits
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.shop import Clock, Shop
from core.storage.duckdb_engine import connect
from events import lake
from events.files import classify, draft_mapping, mapping
from events.files.rates import rates_path
from events.files.readers.database import described, is_database, short_name
from events.files.review import findings, order_money
from events.files.review.findings import Review
from events.files.row_counts import RowCounts
from events.lake import shops, staging
from events.lake.metadata import LakeMetadata

SOURCES = tuple(mapping.BUILT_IN)


def import_file(
    home: Home,
    place: str,
    mapping_name: str,
    as_of: str | None = None,
    replace: bool = False,
    progress: Progress = silent,
    table: str | None = None,
    live: bool = False,
    allow_rejects: bool = False,
) -> dict[str, Any]:
    """Import a file or database table; the clock then stands at the end of the last plausible day.

    Where events go on arriving the clock is wall time, and stays so. Into a home that was filled by
    imports, or received its events, those of the file are added, and what is told again stays once. The
    traits that the mapping declares as features are added to ``home.toml``.

    Args:
        place: a CSV or Parquet file, or an SQLAlchemy URL (with ``table``).
        mapping_name: a source that comes with Patron, or a mapping file.
        as_of: where the clock shall stand instead, a date or time in the shop's zone.
        replace: whether to forget the shop that is there.
        live: whether events go on arriving from now on.
        allow_rejects: whether to import a file most of whose rows are rejected.

    Returns:
        What was read, kept and set aside, the summary by month and the warnings; ``changed`` is False for a
        file imported before.

    Raises:
        PatronError: it cannot be used, or belongs to another shop; nothing was changed.
    """
    how = mapping.load(mapping_name)
    shop, declared = how.shop, traits.merge(home.traits(), how.declared_traits())
    frozen = parse_moment(as_of, shop.time_zone) if as_of else None
    before = lake.metadata(home) if lake.exists(home) and not replace else None
    if before:
        _refuse_another_shop(home, before.source, how)
        live = live or (home.shop().live and not as_of)
    digest = _digest(place, mapping_name)
    if before and digest in before.digests:
        metadata, changes = before, {"changed": False}
    else:
        record = {
            "source": mapping_name if mapping_name in mapping.BUILT_IN else "mapping",
            "file": short_name(place, table),
            "digests": [*(before.digests if before else ()), digest],
        }
        folder = mapping.folder(mapping_name)
        metadata, changes = _import(
            home, place, how, folder, record, before, replace, progress, table, allow_rejects
        )
    clock = Clock(None if live else frozen or _after_the_last_day(metadata, shop.time_zone))
    home.write_shop(Shop(metadata.source, shop.time_zone, shop.currency, clock, home.tiers(), declared))
    return metadata.record | changes | {"clock": clock.now().isoformat(), "live": live}


def dry_run(home: Home, place: str, mapping_name: str, table: str | None = None) -> dict[str, Any]:
    """What an import of a file would count and warn of; nothing is written.

    Returns:
        As :func:`import_file`, without what only the lake knows; ``refused`` says why the file would be
        refused, or is "".

    Raises:
        PatronError: the file cannot be used, or belongs to another shop.
    """
    how = mapping.load(mapping_name)
    traits.merge(home.traits(), how.declared_traits())
    if lake.exists(home):
        _refuse_another_shop(home, lake.metadata(home).source, how)
    _digest(place, mapping_name)  # refuses a file that is not there
    with tempfile.TemporaryDirectory() as spill:
        backend = connect(Path(spill))
        try:
            counts, review = _classify(backend.con, place, how, mapping.folder(mapping_name), table)
        finally:
            backend.disconnect()
    return {
        "file": short_name(place, table),
        **counts.as_dict(),
        **_as_record(review),
        "refused": review.refused_because,
        "dry_run": True,
    }


def _classify(
    connection: duckdb.DuckDBPyConnection, place: str, how: mapping.Mapping, folder: Path, table: str | None
) -> tuple[RowCounts, Review]:
    classified = classify.read(connection, place, how, table, folder)
    review = findings.review(connection, classified, how)
    connection.execute("DROP TABLE classified")
    return classified.counts, review


def _as_record(review: Review) -> dict[str, Any]:
    """What ``import.json`` keeps of a review."""
    return {
        "months": [asdict(month) for month in review.months],
        "warnings": [asdict(finding) for finding in review.findings],
    }


def _import(
    home: Home,
    place: str,
    how: mapping.Mapping,
    folder: Path,
    record: dict[str, Any],
    before: LakeMetadata | None,
    replace: bool,
    progress: Progress,
    table: str | None,
    allow_rejects: bool,
) -> tuple[LakeMetadata, dict[str, Any]]:
    """Write the events of a file; returns the new metadata, and what changed for the answer."""
    progress("reading", 0.1)
    created = not home.path.exists()
    backend = connect(home.path)
    try:
        counts, review = _classify(backend.con, place, how, folder, table)
        if review.refused_because and not allow_rejects:
            raise PatronError(f"{described(place, table)}: {review.refused_because}")
        if how.orders is not None and not before:
            staging.need_orders(backend.con)
    except PatronError:
        backend.disconnect()
        if created:
            shutil.rmtree(home.path)  # it contains nothing but the folder for spilling
        raise
    progress("reading", 0.6)
    record |= {"imported_at": datetime.now(UTC).isoformat(timespec="seconds")} | counts.as_dict()
    record |= _as_record(review) | {"clock_day": _clock_day(before, review)}
    forgotten = shops.messages_received(home) if replace else 0
    metadata = lake.write(
        home,
        backend.con,
        how.shop.time_zone,
        record,
        progress,
        add=before is not None,
        replace=replace,
        imported=True,
    )
    if not before:
        shops.remove_features(home)
    changed = not before or metadata.generation != before.generation
    doubts = [asdict(doubt) for doubt in order_money.doubts(metadata.record, how.shop.currency)]
    warnings = [*record["warnings"], *doubts]
    return metadata, {"messages_forgotten": forgotten, "changed": changed, "warnings": warnings}


def _clock_day(before: LakeMetadata | None, review: Review) -> int | None:
    """The last plausible day of all imports; None where no file had an order."""
    earlier = before.clock_day if before else None
    return max((day for day in (earlier, review.last_day) if day is not None), default=None)


def _after_the_last_day(metadata: LakeMetadata, time_zone: str) -> datetime:
    """The end of the shop's last plausible day; now, where there was no order yet."""
    if metadata.clock_day is None:
        return datetime.now(UTC).replace(microsecond=0)
    return midnight(metadata.clock_day + 1, time_zone)


def inspect_file(place: str | Path, table: str | None = None) -> str:
    """A draft of the mapping of a file or database table, as TOML."""
    return draft_mapping.draft(connect().con, str(place), table)


def _refuse_another_shop(home: Home, source: str, how: mapping.Mapping) -> None:
    shop = home.shop()
    if source == "simulate":
        raise PatronError(
            f"{home.path} holds another shop (simulate); nothing was changed. Use another PATRON_HOME,"
            f" or --replace to import over it{shops.replacement_loss(home)}"
        )
    if (shop.time_zone, shop.currency) != (how.shop.time_zone, how.shop.currency):
        raise PatronError(
            f"{home.path} holds a shop in {shop.currency} and {shop.time_zone}, and this mapping says"
            f" {how.shop.currency} and {how.shop.time_zone}; nothing was changed. Use another PATRON_HOME,"
            f" or --replace to import over it{shops.replacement_loss(home)}"
        )


def _digest(place: str, mapping_name: str) -> str:
    """Of a file and how it is read, so that it is read once; anew each time for a database."""
    total = hashlib.sha256(mapping.text(mapping_name).encode())
    rates = mapping.load(mapping_name).rates
    if rates and (table := rates_path(rates, mapping.folder(mapping_name))).is_file():
        total.update(table.read_bytes())
    if is_database(place):
        return f"database {datetime.now(UTC).isoformat()}"
    path = Path(place)
    if not path.is_file():
        raise PatronError(f"{place}: there is no such file")
    with open(path, "rb") as file:
        total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
