"""Commands for the keys that open the service."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.common import AsJson, open_home, print_note, print_result

app = typer.Typer(help="Make, list, rotate and revoke the API keys of the service.", no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who will hold it.", metavar="NAME")],
    scopes: Annotated[str, typer.Option(help="What it is for, such as scores,decisions; or all.")],
    expires_in: Annotated[
        str | None, typer.Option(help="After how long it expires, such as 90d or 24h.", metavar="SPAN")
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="How many requests a minute; else PATRON_KEY_PER_MINUTE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    from serving.access.key import span
    from serving.access.keys import Keys

    kept = Keys(open_home())
    key, secret = kept.create(name, scopes.split(","), span(expires_in) if expires_in else None, per_minute)
    print_result(as_json, {"key": secret} | key.as_dict(kept.now()), secret)
    if not as_json:
        print_note(f"the key {key.name!r} of {', '.join(key.scopes)}; keep it, it is not shown again")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys by name and first characters: scopes, when made, limit, when they expire or were revoked."""
    from serving.access.keys import Keys

    home = open_home()
    kept = Keys(home)
    found, now = kept.all(), kept.now()
    lines = [key.line(now) for key in found] or [
        f"there are no keys in {home.path}; `patron keys create NAME --scopes all` makes one"
    ]
    print_result(as_json, {"keys": [key.as_dict(now) for key in found]}, "\n".join(lines))


@app.command("rotate")
def rotate_key(
    key: Annotated[str, typer.Argument(help="A key's name, or its first characters.", metavar="KEY")],
    overlap: Annotated[
        str, typer.Option(help="How long the old one works yet, such as 24h or 7d; 0h: not at all.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Make another key of the same name, scopes, limit and lifetime, and print it, this once."""
    from serving.access.key import span
    from serving.access.keys import Keys

    kept = Keys(open_home())
    made, secret, old = kept.rotate(key, span(overlap))
    now = kept.now()
    print_result(as_json, {"key": secret} | made.as_dict(now) | {"old": old.as_dict(now)}, secret)
    if not as_json:
        print_note(
            f"the new key {made.name!r}; keep it, it is not shown again."
            f" The old one ({old.prefix}) opens nothing from {old.expires:%Y-%m-%d %H:%M} UTC on"
        )


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="A key's name, or its first characters.", metavar="KEY")],
    as_json: AsJson = False,
) -> None:
    """Let the keys of a name, or one by its first characters, open nothing any more, for good."""
    from serving.access.keys import Keys

    kept = Keys(open_home())
    revoked = kept.revoke(key)
    prefixes = ", ".join(one.prefix for one in revoked)
    said = f"revoked {revoked[0].name!r} ({prefixes}); a running service refuses it within a second"
    print_result(as_json, {"revoked": [one.as_dict(kept.now()) for one in revoked]}, said)
