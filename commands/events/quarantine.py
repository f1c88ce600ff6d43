"""Commands for rejected events."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result

app = typer.Typer(help="List, show, replay and drop rejected events.", no_args_is_help=True)


@app.command("list")
def list_quarantine(
    most: Annotated[int, typer.Option(min=0, help="How many of the newest events to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the reasons with their counts, then the newest events, without their contents."""
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
    id: Annotated[int, typer.Argument(help="The number of the event in the list.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show an event as received; it may contain personal data."""
    from core.storage.database import Database
    from events.segment.quarantine import show

    home = open_home()
    entry, message = show(Database(home), id)
    audited(home, "looked at a rejected event", str(id))
    head = f"{entry.reason}; received {entry.received_at:%Y-%m-%d %H:%M:%S} UTC"
    done = vars(entry) | {"received_at": entry.received_at.isoformat(), "message": message}
    print_result(as_json, done, f"{head}\n{json.dumps(message, indent=2)}")


@app.command("replay")
def replay_quarantine(as_json: AsJson = False) -> None:
    """Retry all events; accepted ones count from the time when they were received."""
    from core.storage.database import Database
    from events.lake import versions
    from events.segment.quarantine import replay
    from events.segment.translate import Place

    home = open_home()
    shop = home.shop()
    position = versions.position(home)._asdict()
    done = replay(Database(home), Place(shop.time_zone, shop.currency), **position)
    audited(home, "replayed rejected events", f"{done.accepted} accepted")
    counts = {"kept": done.accepted, "refused": done.refused}
    print_result(as_json, counts, f"accepted {done.accepted:,}; still rejected {done.refused:,}")


@app.command("drop")
def drop_quarantined(
    ids: Annotated[
        list[int] | None, typer.Argument(help="The numbers of the events in the list.", metavar="ID")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Drop all events.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete rejected events permanently."""
    from core.storage.database import Database
    from events.segment.quarantine import drop

    if bool(ids) == everything:
        raise typer.BadParameter("pass the numbers of the events, or --all")
    home = open_home()
    dropped = drop(Database(home), ids or None)
    audited(home, "dropped rejected events", str(dropped))
    print_result(as_json, {"dropped": dropped}, f"dropped {dropped:,}")
