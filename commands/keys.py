"""Commands for the API keys of the service."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.access.audit import audited
from commands.common import AsJson, open_home, print_note, print_result

app = typer.Typer(help="Create, list, rotate and revoke the API keys of the service.", no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="The name of its user.", metavar="NAME")],
    scopes: Annotated[str, typer.Option(help="Its scopes, such as scores,decisions; or all.")],
    expires_in: Annotated[
        str | None,
        typer.Option(help="Its lifetime, such as 90d or 24h; by default it does not expire.", metavar="SPAN"),
    ] = None,
    per_minute: Annotated[
        int | None,
        typer.Option(min=1, help="Its limit of requests per minute; default: PATRON_KEY_PER_MINUTE."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it; it is not shown again."""
    from serving.access.key import span
    from serving.access.keys import Keys

    home = open_home()
    keys = Keys(home)
    key, secret = keys.create(name, scopes.split(","), span(expires_in) if expires_in else None, per_minute)
    audited(home, "created a key", f"{key.name}: {','.join(key.scopes)}")
    print_result(as_json, {"key": secret} | key.as_dict(keys.now()), secret)
    if not as_json:
        print_note(f"the key {key.name!r} of {', '.join(key.scopes)}; store it, it is not shown again")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys by name and prefix: scopes, creation, limit, expiry, revocation."""
    from serving.access.keys import Keys

    home = open_home()
    keys = Keys(home)
    listed, now = keys.all(), keys.now()
    lines = [key.line(now) for key in listed] or [
        f"there are no keys in {home.path}; `patron keys create NAME --scopes all` makes one"
    ]
    print_result(as_json, {"keys": [key.as_dict(now) for key in listed]}, "\n".join(lines))


@app.command("rotate")
def rotate_key(
    key: Annotated[str, typer.Argument(help="The name of a key, or its prefix.", metavar="KEY")],
    overlap: Annotated[
        str, typer.Option(help="How long the old key remains valid, such as 24h or 7d; 0h: not at all.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Create a new key of the same name, scopes, limit and lifetime, and print it; it is not shown again."""
    from serving.access.key import span
    from serving.access.keys import Keys

    home = open_home()
    keys = Keys(home)
    new, secret, old = keys.rotate(key, span(overlap))
    audited(home, "rotated a key", new.name)
    now = keys.now()
    print_result(as_json, {"key": secret} | new.as_dict(now) | {"old": old.as_dict(now)}, secret)
    if not as_json:
        print_note(
            f"the new key {new.name!r}; store it, it is not shown again."
            f" The old one ({old.prefix}) is invalid from {old.expires:%Y-%m-%d %H:%M} UTC on"
        )


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="The name of a key, or its prefix.", metavar="KEY")],
    as_json: AsJson = False,
) -> None:
    """Revoke all keys of a name, or one key by its prefix, permanently."""
    from serving.access.keys import Keys

    home = open_home()
    keys = Keys(home)
    revoked = keys.revoke(key)
    audited(home, "revoked a key", revoked[0].name)
    prefixes = ", ".join(key.prefix for key in revoked)
    text = f"revoked {revoked[0].name!r} ({prefixes}); a running service refuses it within a second"
    print_result(as_json, {"revoked": [key.as_dict(keys.now()) for key in revoked]}, text)
