"""Commands for the keys that open the service."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.common import AsJson, note, open_home, say

app = typer.Typer(help="Make, list and revoke the API keys of the service.", no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who will hold it.", metavar="NAME")],
    scopes: Annotated[str, typer.Option(help="What it is for, such as scores,decisions; or all.")],
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    from serving.keys import Keys

    key, secret = Keys(open_home()).create(name, scopes.split(","))
    say(as_json, {"key": secret} | key.as_dict(), secret)
    if not as_json:
        note(f"the key {key.name!r} of {', '.join(key.scopes)}; keep it, it is not shown again")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys by name and first characters: their scopes, when made, when revoked."""
    from serving.keys import Keys

    home = open_home()
    found = Keys(home).all()
    lines = [
        f"{key.prefix}  {key.name:<20}  {','.join(key.scopes):<28}  made {key.created:%Y-%m-%d %H:%M}"
        + (f", revoked {key.revoked:%Y-%m-%d %H:%M}" if key.revoked else "")
        for key in found
    ] or [f"there are no keys in {home.path}; `patron keys create NAME --scopes all` makes one"]
    say(as_json, {"keys": [key.as_dict() for key in found]}, "\n".join(lines))


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="A key's name, or its first characters.", metavar="KEY")],
    as_json: AsJson = False,
) -> None:
    """Let a key open nothing any more, for good."""
    from serving.keys import Keys

    revoked = Keys(open_home()).revoke(key)
    said = f"revoked {revoked.name!r} ({revoked.prefix}); a running service refuses it within a second"
    say(as_json, {"revoked": revoked.as_dict()}, said)
