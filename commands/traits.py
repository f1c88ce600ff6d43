"""The command for traits that are features."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.common import AsJson, open_home, print_result

app = typer.Typer()


@app.command()
def traits(
    draft: Annotated[
        bool, typer.Option(help="Print declarations of the traits that have arrived, for home.toml.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the traits of customers that are features, as home.toml declares them."""
    from features.offline import trait_draft

    home = open_home()
    if draft:
        home.shop()
        text = trait_draft.draft(home)
        print_result(as_json, {"draft": text}, text.rstrip())
        return
    declared = home.shop().traits
    lines = [f"{each.feature:<28}{each.kind:<8}{each.trait:<24}{each.meaning}" for each in declared]
    none = "no trait is declared; `patron traits --draft` proposes those that have arrived"
    print_result(as_json, {"traits": [vars(each) for each in declared]}, "\n".join(lines) or none)
