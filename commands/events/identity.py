"""Commands for ids that mean one customer."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result

app = typer.Typer(help="Show which ids mean one customer, and undo a mistaken merge.", no_args_is_help=True)
CustomerId = Annotated[str, typer.Argument(help="An id; a device's begins with anonymous:.", metavar="ID")]


@app.command("show")
def show_identity(customer_id: CustomerId, as_json: AsJson = False) -> None:
    """Show all ids of a customer."""
    from events.identity import Identity

    home = open_home()
    home.shop()
    identity = Identity(home)
    ids = identity.ids_of(customer_id)
    audited(home, "looked at a customer", str(identity.keys(ids[:1]).get(ids[0], "")))
    print_result(as_json, {"customer_ids": ids}, "\n".join(ids))


@app.command("split")
def split_identity(customer_id: CustomerId, as_json: AsJson = False) -> None:
    """Take the customer whom an id meant before a merge out of the customer whom it means now.

    From now on both have their own events. What was known before stays as it was.
    """
    from core.errors import PatronError
    from core.storage.database import Database
    from events import journal
    from events.identity import Identity
    from events.lake import versions

    home = open_home()
    if not home.shop().live:
        raise PatronError("the clock of this shop is frozen, so nothing can happen in it")
    at = home.wall()
    done = journal.split(Database(home), customer_id, at, **versions.position(home)._asdict())
    keys = Identity(home).keys([*done.customer_ids[:1], *done.other_ids[:1]])
    audited(home, "split a customer", " ".join(map(str, keys.values())))
    fields = {"customer_ids": list(done.customer_ids), "other_customer_ids": list(done.other_ids)}
    text = f"split: {', '.join(done.customer_ids)} | {', '.join(done.other_ids)}"
    print_result(as_json, fields | {"at": at.isoformat()}, text)
