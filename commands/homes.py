"""Commands for a home: creating one, and attaching it to its database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import AsJson, open_home, print_result

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
    attach: Annotated[
        bool, typer.Option(help="Go on with the database of a lost home; confirm that it is this home's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a shop without history, on wall time, for events that applications send."""
    from events.lake import shops

    home = open_home()
    if attach:
        attached = shops.attach(home, time_zone, currency)
        print_result(as_json, vars(attached), _attached(home, attached))
        return
    if not time_zone or not currency:
        raise typer.BadParameter("pass --time-zone and --currency")
    done = shops.begin_live(home, time_zone, currency)
    text = f"created a shop in {home.path}, in {currency} and {time_zone}; `patron serve` receives its events"
    print_result(as_json, done, text)


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
