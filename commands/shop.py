"""Commands for the shop: its history, the events that arrive, and its features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.common import AsJson, open_home, print_result, progress_bar

app = typer.Typer()


@app.command()
def simulate(
    customers: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Customers of the first years.")
    ] = 6000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same shop.")] = 7,
    years: Annotated[float, typer.Option(min=0.1, max=20, help="Years of history up to now.")] = 3.0,
    replace: Annotated[bool, typer.Option(help="Replace a shop that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a shop whose customers' true rates are known; again, it goes on to the present."""
    from events.simulation import simulated_shop

    with progress_bar(as_json) as progress:
        done = simulated_shop.simulate_shop(open_home(), customers, seed, years, replace, progress)
    said = f"simulated {done['orders']:,} orders from {done['from']} to {done['to']}"
    print_result(as_json, done, said + _forgotten(done))


@app.command()
def init(
    time_zone: Annotated[str, typer.Option(help="The shop's, such as Europe/Berlin.", metavar="ZONE")],
    currency: Annotated[str, typer.Option(help="What amounts are in, such as EUR.", metavar="CODE")],
    as_json: AsJson = False,
) -> None:
    """Make a shop without history, on wall time, that begins with the events that arrive."""
    from events.lake import shops

    home = open_home()
    done = shops.begin_live(home, time_zone, currency)
    said = f"made a shop in {home.path}, in {currency} and {time_zone}; `patron serve` receives its events"
    print_result(as_json, done, said)


@app.command("import")
def import_(
    files: Annotated[list[str] | None, typer.Argument(help="Files, or a database's SQLAlchemy URL.")] = None,
    mapping: Annotated[str, typer.Option("--as", help="A source by name, or a mapping file.")] = "",
    inspect: Annotated[bool, typer.Option(help="Draft a mapping of the file, and import nothing.")] = False,
    table: Annotated[str | None, typer.Option(help="The database's table.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Stop the clock here, not after the last event.")] = None,
    live: Annotated[
        bool, typer.Option(help="Events go on arriving: the clock is wall time from now on.")
    ] = False,
    replace: Annotated[bool, typer.Option(help="Forget the shop that is there.")] = False,
    report: Annotated[bool, typer.Option(help="List the rows that were set aside.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import orders from files or a database, and account for every row."""
    from events.files import imports, rejected_rows

    if files and inspect:
        for file in files:
            print(imports.inspect_file(Path(file)), end="")
        return
    if not files and not report:
        raise typer.BadParameter("name a FILE to import, or ask for --report of the last import")
    if files and not mapping:
        raise typer.BadParameter(
            f"say --as what: a source ({', '.join(imports.SOURCES)}) or a mapping file; --inspect drafts one"
        )
    if live and as_of:
        raise typer.BadParameter("--live and --as-of contradict each other: the clock goes on, or it stands")
    done = []
    for i, file in enumerate(files or []):
        with progress_bar(as_json) as progress:
            fresh = replace and i == 0
            done.append(imports.import_file(open_home(), file, mapping, as_of, fresh, progress, table, live))
    if done:
        print_result(as_json, done[0] if len(done) == 1 else {"files": done}, "\n".join(map(_accounts, done)))
    elif report:
        columns, rows = rejected_rows.report(open_home())
        listed = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        lines = ["  ".join(columns), *("  ".join(map(str, row)) for row in rows)]
        said = f"set aside (the first {rejected_rows.REPORT_ROWS} of each reason; all are in"
        place = rejected_rows.file(open_home())
        print_result(as_json, {"set_aside": listed}, "\n".join([f"{said} {place}):", *lines]))


@app.command()
def compact(as_json: AsJson = False) -> None:
    """Move the events that arrived into the lake; the service does so by itself now and then."""
    from core.storage.database import Database
    from events.lake import compaction

    home = open_home()
    home.shop()
    moved = compaction.compact(home, Database(home))
    print_result(as_json, {"events": moved}, f"moved {moved:,} events into the lake")


@app.command()
def build(
    monthly: Annotated[
        bool, typer.Option(help="Also compute the monthly snapshots that training reads.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Compute features: monthly snapshots for training, everyone's as of now for serving."""
    from features.offline import build as builds

    with progress_bar(as_json) as progress:
        built = builds.build(open_home(), monthly, progress)
    done = {"as_ofs": len(built.as_ofs), "current": built.current.isoformat()}
    print_result(
        as_json, done, f"built {done['as_ofs']} snapshots; the present is {built.current:%Y-%m-%d %H:%M} UTC"
    )


@app.command()
def features(
    name: Annotated[str | None, typer.Argument(help="One feature; all by default.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the page of all features here.")] = None,
    as_json: AsJson = False,
) -> None:
    """What each feature means, its unit, and which models read it."""
    from models.explain import lineage

    if write is not None:
        write.write_text(lineage.page())
        print_result(as_json, {"written": str(write)}, f"wrote {write}")
        return
    found = lineage.describe(name)
    lines = [f"{f.name:<22}{f.group:<11}{f.unit:<11}{f.meaning}" for f in found]
    if name is not None:
        lines = [f"{key:<16}{_plain(value)}" for key, value in vars(found[0]).items()]
    print_result(as_json, {"features": [vars(f) for f in found]}, "\n".join(lines))


def _accounts(done: dict[str, Any]) -> str:
    clock = "the clock is wall time" if done["live"] else f"the clock stands at {done['clock']}"
    if not done["changed"]:
        return f"{done['file']} holds nothing new; nothing changed, {clock}"
    kept, aside = sum(done["kept"].values()), sum(done["set_aside"].values())
    lines = [f"read {done['read']:,} = kept {kept:,} + set aside {aside:,}"]
    lines += [f"  kept       {n:>9,}  {name.replace('_', ' ')}" for name, n in done["kept"].items()]
    lines += [f"  set aside  {n:>9,}  {name.replace('_', ' ')}" for name, n in done["set_aside"].items()]
    notes = done["notes"] | {"refunds_unmatched": done.get("refunds_unmatched", 0)}
    notes |= {f"{name}_new": n for name, n in done.get("new", {}).items()}
    lines += [f"  of note    {n:>9,}  {name.replace('_', ' ')}" for name, n in notes.items() if n]
    lines += [f"orders from {done['from']} to {done['to']}; {clock}{_forgotten(done)}"]
    return "\n".join(lines)


def _forgotten(done: dict[str, Any]) -> str:
    """What a shop that was replaced had received."""
    gone = done.get("messages_forgotten", 0)
    return f"; the {gone:,} messages that had arrived are forgotten" if gone else ""


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)
