"""The command that prints the segments with their predicted totals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from commands.common import AsJson, open_home, open_registry, print_result

app = typer.Typer()
_NAME, _COUNT, _TOTAL = 28, 10, 34  # widths of columns


@app.command()
def segments(as_json: AsJson = False) -> None:
    """Print the segments of the last build, and what the models predict for each and for the shop."""
    from models.questions import every
    from models.registry.registry_state import RegistryState
    from serving.totals.overview import overview

    home = open_home()
    home.shop()
    champions = RegistryState.of(open_registry().standing(every())).champions
    result = overview(home, champions)
    print_result(as_json, result, "\n".join(_lines(result)))


def _lines(result: Mapping[str, Any]) -> list[str]:
    shown = [name for name in result["totals"] if result[name] is not None]
    shop = {"english": "the whole shop", "customers": result["customers"]} | {n: result[n] for n in shown}
    lines = [
        f"{'':<{_NAME}}{'customers':>{_COUNT}}"
        + "".join(f"{name.replace('_', ' '):>{_TOTAL}}" for name in shown),
        _line(shop, shown),
    ]
    for kind in result["kinds"]:
        lines += ["", kind["name"], *(_line(segment, shown) for segment in kind["segments"])]
    return [*lines, "", *_notes(result)]


def _line(segment: Mapping[str, Any], shown: list[str]) -> str:
    head = f"{segment['english']:<{_NAME}}{segment['customers']:>{_COUNT},}"
    return head + "".join(f"{_cell(segment[name]):>{_TOTAL}}" for name in shown)


def _cell(total: Mapping[str, Any] | None) -> str:
    if total is None:
        return "-"
    if total["low"] is None:
        return f"{total['expected']:,.0f}"
    return f"{total['expected']:,.0f} ({total['low']:,.0f} to {total['high']:,.0f})"


def _notes(result: Mapping[str, Any]) -> list[str]:
    """What each total means, and why it is stale or missing."""
    lines = [f"segments as of {result['as_of'][:10]}; money in {result['currency']}"]
    for name, state in result["totals"].items():
        words = name.replace("_", " ")
        if state["reason"] is not None:
            lines.append(f"no {words}: {state['reason']}")
            continue
        lines.append(f"{words}: {state['meaning']}")
        if state["stale"] is not None:
            lines.append(f"{words} should be computed again: {state['stale']}")
    if any(result[name] is not None for name in result["totals"]):
        lines.append("in brackets: what contains the actual total nine times in ten")
    return lines
