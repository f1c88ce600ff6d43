"""Commands for a home: creating it, attaching it to its database, backing it up and restoring it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result, progress_bar

if TYPE_CHECKING:
    from core.home import Home
    from events.lake.shops import Attached

app = typer.Typer()


@app.command()
def init(
    time_zone: Annotated[
        str | None, typer.Option(help="The time zone of the shop, such as Europe/Berlin.", metavar="ZONE")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="The currency of its amounts, such as EUR.", metavar="CODE")
    ] = None,
    warehouse: Annotated[
        bool, typer.Option(help="The events are in a warehouse, PATRON_WAREHOUSE; see `patron lake check`.")
    ] = False,
    attach: Annotated[
        bool, typer.Option(help="Go on with the database of a lost home; confirm that it is this home's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a shop, on wall time, for events that applications send or that are in a warehouse."""
    from events.lake import shops
    from events.warehouse import SOURCE as WAREHOUSE

    home = open_home()
    if attach:
        attached = shops.attach(home, time_zone, currency)
        audited(home, "attached a database", attached.home_id)
        print_result(as_json, vars(attached), _attached(home, attached))
        return
    if not time_zone or not currency:
        raise typer.BadParameter("pass --time-zone and --currency")
    done = shops.begin_live(home, time_zone, currency, WAREHOUSE if warehouse else shops.LIVE)
    audited(home, "created a shop", "")
    what = "`patron build` reads its warehouse" if warehouse else "`patron serve` receives its events"
    print_result(as_json, done, f"created a shop in {home.path}, in {currency} and {time_zone}; {what}")


def _attached(home: Home, attached: Attached) -> str:
    """What a person must know after a database was attached."""
    lines = [
        f"{home.path} and its database have the id {attached.home_id} now: {attached.customers:,} ids of"
        f" customers, {attached.messages:,} messages in the journal"
    ]
    if not attached.has_lake:
        lines += [
            f"lost with the folder: the events of {attached.lost:,} messages that had left the journal,"
            " imported history, snapshots, settings, actions.toml, score jobs, and models of a local MLflow",
            "to do: restore a backup if there is one, or `patron import` the history again (customers keep"
            " their keys); then `patron build` and `patron train all`",
        ]
    return "\n".join(lines)


@app.command("backup")
def back_up(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.", metavar="DIR")],
    as_json: AsJson = False,
) -> None:
    """Back up the home, its database and its models; the service may run meanwhile."""
    from backup import create

    home = open_home()
    with progress_bar(as_json) as progress:
        made = create.create(home, folder.absolute(), progress)
    audited(home, "made a backup", folder.name)
    done = {"folder": str(folder), "home_id": made.home_id.id, "files": len(made.files), "bytes": made.size}
    lines = [f"backed up {home.path} into {folder}: {len(made.files):,} files, {made.size / 1e6:,.1f} MB"]
    if made.mlflow:
        lines.append(f"with the models of {made.mlflow}")
    print_result(as_json, done | {"mlflow_server": made.mlflow or None}, "\n".join(lines))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.", metavar="DIR")],
    replace: Annotated[bool, typer.Option(help="Replace the home and the database that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty home and an empty database; nothing of Patron may run meanwhile."""
    from backup import restore

    home = open_home()
    with progress_bar(as_json) as progress:
        restored = restore.restore(folder.absolute(), home, replace, progress)
    made = restored.manifest
    audited(home, "restored a backup", folder.name)
    done = {"home_id": made.home_id.id, "made_at": made.made_at, "replaced": restored.replaced}
    lines = [f"restored {home.path} as of {made.made_at} from {folder}", *restored.notes]
    print_result(as_json, done | {"notes": list(restored.notes)}, "\n".join(lines))
