"""Commands for events that could not be used."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from commands.common import AsJson, open_home, print_result

app = typer.Typer(help="Events that could not be used: see why, try again, drop.", no_args_is_help=True)


@app.command("list")
def list_quarantine(
    most: Annotated[int, typer.Option(min=0, help="How many of the newest to list one by one.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Why events could not be used and how many, then the newest; shows nothing of what they say."""
    from core.storage.database import Database
    from events.segment.quarantine import entries, reasons

    database = Database(open_home())
    why, newest = reasons(database), entries(database, most)
    lines = [f"{r.count:>8,}  {r.reason} ({r.first:%Y-%m-%d %H:%M} to {r.last:%Y-%m-%d %H:%M})" for r in why]
    lines += ["", *(f"{e.id:>8}  {e.received_at:%Y-%m-%d %H:%M:%S}  {e.reason}" for e in newest)]
    done = {
        "reasons": [vars(r) | {"first": r.first.isoformat(), "last": r.last.isoformat()} for r in why],
        "newest": [vars(e) | {"received_at": e.received_at.isoformat()} for e in newest],
    }
    print_result(as_json, done, "\n".join(lines) if why else "the quarantine is empty")


@app.command("show")
def show_quarantined(
    id: Annotated[int, typer.Argument(help="Its number, as listed.", metavar="ID")], as_json: AsJson = False
) -> None:
    """One event as it came, which may hold personal data."""
    from core.storage.database import Database
    from events.segment.quarantine import show

    entry, message = show(Database(open_home()), id)
    head = f"{entry.reason}; received {entry.received_at:%Y-%m-%d %H:%M:%S} UTC"
    told = json.dumps(message, indent=2)
    done = vars(entry) | {"received_at": entry.received_at.isoformat(), "message": message}
    print_result(as_json, done, f"{head}\n{told}")


@app.command("replay")
def replay_quarantine(as_json: AsJson = False) -> None:
    """Try all again; those that can be used now count as of when they were received."""
    from core.storage.database import Database
    from events.lake import versions
    from events.segment.quarantine import replay
    from events.segment.translate import Place

    home = open_home()
    shop = home.shop()
    seq = versions.compacted_seq(home)
    done = replay(Database(home), Place(shop.time_zone, shop.currency), compacted_seq=seq)
    print_result(as_json, vars(done), f"kept {done.kept:,}; {done.refused:,} cannot be used still")


@app.command("drop")
def drop_quarantined(
    ids: Annotated[list[int] | None, typer.Argument(help="Their numbers, as listed.", metavar="ID")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget events that could not be used, for good."""
    from core.storage.database import Database
    from events.segment.quarantine import drop

    if bool(ids) == everything:
        raise typer.BadParameter("say which: their numbers, or --all")
    dropped = drop(Database(open_home()), ids or None)
    print_result(as_json, {"dropped": dropped}, f"dropped {dropped:,}")
