"""The entry point of the command line: assembles the commands, and prints every error as one line."""

from __future__ import annotations

import os
import sys
import time

import typer
from typer.exceptions import TyperException

from commands import (
    answers,
    feedback,
    homes,
    keys,
    models,
    rankings,
    service,
    settings,
    shop,
    training,
    up,
)
from commands.access import accounts, audit
from commands.analysis import datasets, kpis, results, segments
from commands.common import Exit, print_note
from commands.decisions import actions, audiences, deliveries, plans
from commands.events import identity, lake, quarantine
from core import child_process, garbage, private
from core.errors import PatronError

app = typer.Typer(
    help="Customer intelligence that a company runs itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="The shop lives in the folder PATRON_HOME (default: .patron).",
)
for noun in (
    homes,
    shop,
    training,
    models,
    datasets,
    kpis,
    actions,
    audiences,
    results,
    segments,
    answers,
    plans,
    deliveries,
    rankings,
    feedback,
    service,
    settings,
    up,
):
    app.add_typer(noun.app)
app.add_typer(keys.app, name="keys")
app.add_typer(accounts.app, name="accounts")
app.add_typer(audit.app, name="audit")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(identity.app, name="identity")
app.add_typer(lake.app, name="lake")


def _wrong_setting(error: Exception) -> str | None:
    """The invalid environment variables and why, if the error is one of settings."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or not error.title.endswith("Settings"):
        return None
    prefix = "PATRON_CONSOLE_" if error.title == "ConsoleSettings" else "PATRON_"
    reasons = [
        f"{prefix}{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors()
    ]
    return "; ".join(reasons)


def _run_as_child() -> int:
    """Run the command of a child process; errors are logged as those of its parent are."""
    import logging

    from core import logging_setup
    from core.settings import FeatureSettings

    logging_setup.configure(FeatureSettings().log_format)
    log, command = logging.getLogger("patron"), sys.argv[1]
    try:
        return int(app(standalone_mode=False) or Exit.DONE)
    except PatronError as error:
        log.error("%s: %s", command, error)
    except Exception:
        log.exception("%s ended", command)
    return Exit.FAILED


def main() -> int:
    """Run a command and return its exit code; an error prints one line."""
    garbage.search_rarely()
    private.restrict_umask()
    os.environ["TZ"] = "UTC"  # Feast's SQLite store keeps local time
    time.tzset()
    if child_process.end_with_parent():
        return _run_as_child()
    try:
        result = app(standalone_mode=False)
        return int(result or Exit.DONE)
    except PatronError as error:
        print_note(f"patron: {error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.FAILED
    except TyperException as error:
        error.show()  # type: ignore[attr-defined]
        return Exit.WRONG_USE
    except Exception as error:
        if wrong := _wrong_setting(error):
            print_note(f"patron: {wrong}")
            return Exit.WRONG_USE
        if os.environ.get("PATRON_DEBUG"):
            raise
        print_note(f"patron: unexpected {type(error).__name__}: {error} (PATRON_DEBUG=1 shows where)")
        return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
