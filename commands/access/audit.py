"""Commands for the audit log, and the entries that commands add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import AsJson, Exit, open_home, print_note, print_result
from core.errors import StoreUnavailable

if TYPE_CHECKING:
    from core.home import Home

app = typer.Typer(help="Read and verify the audit log.", no_args_is_help=True)


@app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many entries, the newest ones.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest entries: when, who, what, about what."""
    from datetime import UTC, datetime

    from records.audit.log import AuditLog

    entries = AuditLog(open_home()).newest(limit)
    moments = [datetime.fromtimestamp(entry.at_us / 1e6, UTC) for entry in entries]
    listed = [
        {"number": e.number, "at": at.isoformat(), "by": e.by, "what": e.what, "about": e.about}
        for e, at in zip(entries, moments, strict=True)
    ]
    lines = [
        f"{e.number:>7}  {at:%Y-%m-%d %H:%M:%S}  {e.by:<24}  {e.what}  {e.about}".rstrip()
        for e, at in zip(entries, moments, strict=True)
    ]
    print_result(as_json, {"entries": listed}, "\n".join(lines) or "the audit log is empty")


@app.command("verify")
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="A head that was printed earlier and kept elsewhere.", metavar="DIGEST"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed, removed or inserted, and print the head of the chain."""
    from records.audit.log import AuditLog

    log = AuditLog(open_home())
    result = log.verify()
    done = {"entries": result.entries, "head": result.head, "broken_at": result.broken_at}
    if result.broken_at is not None:
        text = f"entry {result.broken_at} does not fit the {result.entries} before it: the log was edited"
        print_result(as_json, done, text, Exit.CHECK_FAILED)
    elif head is not None and not log.has(head):
        text = f"no entry has the digest {head[:64]}: entries were removed or all computed anew"
        print_result(as_json, done, text, Exit.CHECK_FAILED)
    else:
        print_result(as_json, done, f"{result.entries:,} entries fit; head {result.head or '(none)'}")


def audited(home: Home, what: str, about: str) -> None:
    """Add an entry for a command, by the name of the user who runs it.

    What the command did stays done while the database is unavailable; a note says that the entry is missing.
    """
    import getpass

    from records.audit.log import AuditLog

    try:
        AuditLog(home).append(f"command ({getpass.getuser()})", what, about)
    except StoreUnavailable as error:
        print_note(f"the audit log has no entry for this command: {error}")
