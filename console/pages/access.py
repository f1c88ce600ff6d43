"""Who may use Patron: accounts, API keys, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.datastructures import FormData

from console.changes import ConsoleChange, text
from console.page import PREFIX, ConsolePage, Content, PageTable, TableColumn, Visit
from core.errors import PatronError
from records.accounts.accounts import Accounts
from records.accounts.roles import Role
from records.audit.log import AuditLog
from serving.access.keys import Keys
from serving.access.scopes import Scope

ENTRIES = 100
MAX_DIGITS = 18  # of the number of an entry
ADDRESS = f"{PREFIX}/access"


def load(visit: Visit) -> Content:
    """The accounts, the keys and the newest entries of the audit log."""
    accounts = [account for account in Accounts(visit.home).all() if account.closed_us is None]
    tables = {"accounts": _accounts(visit), "keys": _keys(visit), "audit": _audit(visit)}
    return Content({"accounts": accounts, "roles": list(Role)}, tables)


def create(visit: Visit, form: FormData) -> str:
    """Create an account."""
    password = form.get("password")
    Accounts(visit.home).create(text(form, "name"), text(form, "role"), str(password or ""))
    return ADDRESS


def set_role(visit: Visit, form: FormData) -> str:
    """ConsoleChange a role. Administrators do not change their own, so that one always remains."""
    _refuse_own(visit)
    Accounts(visit.home).set_role(visit.path["account"], text(form, "role"))
    return ADDRESS


def close(visit: Visit, form: FormData) -> str:  # noqa: ARG001 - the button is the whole form
    """Close an account."""
    _refuse_own(visit)
    Accounts(visit.home).close(visit.path["account"])
    return ADDRESS


PAGE = ConsolePage("access", "/access", Scope.ALL, load)
CHANGES = (
    ConsoleChange("/access/accounts", Scope.ALL, create, "created an account"),
    ConsoleChange("/access/accounts/{account}/role", Scope.ALL, set_role, "changed a role"),
    ConsoleChange("/access/accounts/{account}/close", Scope.ALL, close, "closed an account"),
)


def _refuse_own(visit: Visit) -> None:
    if visit.path["account"].strip().lower() == visit.caller.name:
        raise PatronError(visit.words("access.own"))


def _accounts(visit: Visit) -> PageTable:
    words = visit.words
    rows = [
        {
            "name": account.name,
            "role": words.choice("role", account.role.value),
            "created": _moment(account.created_us),
            "closed": None if account.closed_us is None else _moment(account.closed_us),
        }
        for account in Accounts(visit.home).all()
    ]
    columns = [
        TableColumn("name", "access.name", "data"),
        TableColumn("role", "access.role"),
        TableColumn("created", "access.created", "moment"),
        TableColumn("closed", "access.closed", "moment"),
    ]
    return PageTable("access.accounts", columns, rows, "access.no_accounts")


def _keys(visit: Visit) -> PageTable:
    keys = Keys(visit.home)
    now = keys.now()
    rows = [
        {
            "name": key.name,
            "prefix": key.prefix,
            "scopes": ", ".join(key.scopes),
            "created": key.created,
            "expires": key.expires,
            "state": visit.words.choice("key_state", key.state(now)),
        }
        for key in keys.all()
    ]
    columns = [
        TableColumn("name", "access.name", "data"),
        TableColumn("prefix", "access.prefix", "code"),
        TableColumn("scopes", "access.scopes", "code"),
        TableColumn("created", "access.created", "moment"),
        TableColumn("expires", "access.expires", "moment"),
        TableColumn("state", "access.state"),
    ]
    return PageTable("access.keys", columns, rows, "access.no_keys")


def _audit(visit: Visit) -> PageTable:
    before = visit.query.get("before", "")
    entries = AuditLog(visit.home).newest(ENTRIES, int(before[:MAX_DIGITS]) if before.isdecimal() else None)
    rows = [
        {
            "number": entry.number,
            "at": _moment(entry.at_us),
            "by": entry.by,
            "what": visit.words.choice("audit", entry.what.replace(" ", "_")),
            "about": entry.about,
        }
        for entry in entries
    ]
    columns = [
        TableColumn("number", "access.number", "number"),
        TableColumn("at", "access.at", "moment"),
        TableColumn("by", "access.by", "data"),
        TableColumn("what", "access.what"),
        TableColumn("about", "access.about", "data"),
    ]
    more = len(entries) == ENTRIES and entries[-1].number > 1
    following = urlencode({"before": entries[-1].number}) if more else ""
    return PageTable("access.audit", columns, rows, "access.no_entries", following)


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)
