"""Commands for the accounts of the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_result

if TYPE_CHECKING:
    from records.accounts.accounts import Account

app = typer.Typer(help="Create, list, change and close the accounts of the console.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The name to sign in with.", metavar="NAME")]
RoleOption = Annotated[str, typer.Option(help="viewer, marketer, scientist, operator or admin.")]


@app.command("create")
def create_account(name: Name, role: RoleOption, as_json: AsJson = False) -> None:
    """Create an account; the password is asked for, or read from the standard input."""
    from records.accounts.accounts import Accounts

    home = open_home()
    account = Accounts(home).create(name, role, _password())
    audited(home, "created an account", f"{account.name}: {account.role}")
    print_result(as_json, _as_dict(account), f"the account {account.name!r} with the role {account.role}")


@app.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List the accounts with their roles."""
    from records.accounts.accounts import Accounts

    accounts = Accounts(open_home()).all()
    lines = [f"{a.name:<24}  {a.role:<10}{'  closed' if a.closed_us else ''}" for a in accounts]
    text = "\n".join(lines) or "there are no accounts; `patron accounts create NAME --role admin` makes one"
    print_result(as_json, {"accounts": [_as_dict(account) for account in accounts]}, text)


@app.command("role")
def set_role(name: Name, role: RoleOption, as_json: AsJson = False) -> None:
    """Change the role of an account; it applies to the next request of its sessions."""
    from records.accounts.accounts import Accounts

    home = open_home()
    account = Accounts(home).set_role(name, role)
    audited(home, "changed a role", f"{account.name}: {account.role}")
    print_result(as_json, _as_dict(account), f"the account {account.name!r} has the role {account.role}")


@app.command("password")
def set_password(name: Name, as_json: AsJson = False) -> None:
    """Change the password of an account, and end its sessions."""
    from records.accounts.accounts import Accounts

    home = open_home()
    account = Accounts(home).set_password(name, _password())
    audited(home, "changed a password", account.name)
    print_result(as_json, _as_dict(account), f"the account {account.name!r} has a new password")


@app.command("close")
def close_account(name: Name, as_json: AsJson = False) -> None:
    """Close an account for good, and end its sessions."""
    from records.accounts.accounts import Accounts

    home = open_home()
    account = Accounts(home).close(name)
    audited(home, "closed an account", account.name)
    print_result(as_json, _as_dict(account), f"the account {account.name!r} is closed")


def _password() -> str:
    import sys

    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\n")


def _as_dict(account: Account) -> dict[str, Any]:
    return {"name": account.name, "role": account.role.value, "closed": account.closed_us is not None}
