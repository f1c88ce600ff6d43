"""The command that delivers files of recommendations to folders and webhooks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, Exit, open_home, print_result, progress_bar

app = typer.Typer()


@app.command()
def deliver(
    name: Annotated[
        str | None,
        typer.Argument(help="Make this delivery of deliveries.toml now; without it, those that are due."),
    ] = None,
    draft: Annotated[
        bool, typer.Option(help="Print an example of deliveries.toml; delivers nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put files of recommendations into folders or send them to webhooks, each once a day."""
    from records.deliveries import settings

    if draft:
        print(settings.EXAMPLE, end="")
        return
    from core.errors import NothingThere
    from serving.decisions.deliveries import deliver as deliver_now
    from serving.decisions.deliveries import deliver_due

    home = open_home()
    home.shop()
    if not settings.load(home):
        raise NothingThere(
            f"there are no deliveries; `patron deliver --draft > {settings.settings_file(home)}` writes an"
            " example of the file"
        )
    with progress_bar(as_json) as progress:
        if name is not None:
            results = [deliver_now(home, settings.find(home, name), progress)]
        else:
            results = deliver_due(home, progress)
    for result in results:
        if "error" not in result:
            audited(home, "delivered recommendations", result["name"])
    lines = [_delivered(result) for result in results] or ["no delivery is due"]
    failed = any("error" in result for result in results)
    code = Exit.FAILED if failed else Exit.DONE
    print_result(as_json, {"deliveries": results}, "\n".join(lines), code)


def _delivered(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['name']} failed and is tried again: {result['error']}"
    files = ", ".join(result["files"])
    return f"{result['name']}: {result['customers']:,} customers, {files}, to {result['place']}"
