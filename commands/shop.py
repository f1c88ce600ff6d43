"""Commands for the shop: its history, its events and its features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.access.audit import audited
from commands.common import AsJson, EngineName, Exit, open_engine, open_home, print_result, progress_bar
from commands.reporting import product_rows

app = typer.Typer()


@app.command()
def simulate(
    customers: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of customers of the first years.")
    ] = 6000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same shop.")] = 7,
    years: Annotated[float, typer.Option(min=0.1, max=20, help="Years of history until now.")] = 3.0,
    replace: Annotated[bool, typer.Option(help="Replace an existing shop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a shop with known true rates of its customers; a second call extends it to the present."""
    from events.simulation import simulated_shop

    with progress_bar(as_json) as progress:
        done = simulated_shop.simulate_shop(open_home(), customers, seed, years, replace, progress)
    audited(open_home(), "simulated a shop", "")
    text = f"simulated {done['orders']:,} orders from {done['from']} to {done['to']}"
    print_result(as_json, done, text + _forgotten(done))


@app.command("import")
def import_(
    files: Annotated[list[str] | None, typer.Argument(help="Files, or a database's SQLAlchemy URL.")] = None,
    mapping: Annotated[str, typer.Option("--as", help="The name of a source, or a mapping file.")] = "",
    inspect: Annotated[
        bool, typer.Option(help="Print a draft of a mapping of the file; imports nothing.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="The table of the database; or its URL#TABLE in place of FILES.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Freeze the clock at this time instead of after the last event.")
    ] = None,
    live: Annotated[bool, typer.Option(help="Use wall time from now on, for events that arrive.")] = False,
    replace: Annotated[bool, typer.Option(help="Delete the existing shop first.")] = False,
    report: Annotated[bool, typer.Option(help="List the rejected rows of the last import.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count and summarize as an import would; write nothing.")
    ] = False,
    allow_rejects: Annotated[
        bool, typer.Option("--allow-rejects", help="Import a file even if most of its rows are rejected.")
    ] = False,
    products: Annotated[
        bool,
        typer.Option("--products", help="FILE is the catalogue of products: names, prices, stock."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import orders, customers or activities from files or a database, and account for every row."""
    from events.files import imports, rejected_rows
    from events.files.readers.database import is_database

    if products:
        if not files or len(files) > 1 or mapping:
            raise typer.BadParameter("--products takes one FILE, and no --as")
        from events.files.products import import_products

        imported = import_products(open_home(), files[0] + (f"#{table}" if table else ""))
        audited(open_home(), "imported products", "")
        print_result(as_json, imported, product_rows(imported))
        return
    if table and not files and is_database(table):
        files, table = [table], None
    if files and inspect:
        for file in files:
            print(imports.inspect_file(file, table), end="")
        return
    if not files and not report:
        raise typer.BadParameter(
            "pass a FILE to import, or --report for the rejected rows of the last import"
        )
    if files and not mapping:
        raise typer.BadParameter(
            f"pass --as SOURCE ({', '.join(imports.SOURCES)}) or --as MAPPING_FILE; --inspect drafts one"
        )
    if live and as_of:
        raise typer.BadParameter(
            "--live and --as-of exclude each other: the clock is wall time, or it is frozen"
        )
    if dry_run:
        _dry_run(files or [], mapping, table, allow_rejects, as_json)
        return
    done = []
    for i, file in enumerate(files or []):
        with progress_bar(as_json) as progress:
            fresh = replace and i == 0
            done.append(
                imports.import_file(
                    open_home(), file, mapping, as_of, fresh, progress, table, live, allow_rejects
                )
            )
    if done:
        audited(open_home(), "imported events", "")
        print_result(as_json, done[0] if len(done) == 1 else {"files": done}, "\n".join(map(_accounts, done)))
    elif report:
        columns, rows = rejected_rows.report(open_home())
        listed = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        lines = ["  ".join(columns), *("  ".join(map(str, row)) for row in rows)]
        head = f"rejected (the first {rejected_rows.REPORT_ROWS} of each reason; all are in"
        path = rejected_rows.file(open_home())
        print_result(as_json, {"set_aside": listed}, "\n".join([f"{head} {path}):", *lines]))


@app.command()
def compact(as_json: AsJson = False) -> None:
    """Move the events that arrived into the lake; the service also does this by itself."""
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
    engine: Annotated[
        EngineName, typer.Option(help="What computes the snapshots; Spark at PATRON_SPARK_MASTER.")
    ] = EngineName.DUCKDB,
    as_json: AsJson = False,
) -> None:
    """Compute features: monthly snapshots for training, and the current values for serving."""
    from decisions.results.report import update_if_declared as update_results
    from features.offline import build

    home = open_home()
    with progress_bar(as_json) as progress, open_engine(home, engine) as opened:
        built = build.build(home, monthly, progress, opened)
        progress("computing results", 1.0)
        update_results(home, opened and opened.backend)
    done = {"as_ofs": len(built.as_ofs), "current": built.current.isoformat(), "computed": built.computed}
    snapshots = "1 snapshot" if len(built.as_ofs) == 1 else f"{len(built.as_ofs)} snapshots"
    current = f"features are current as of {built.current:%Y-%m-%d %H:%M} UTC"
    print_result(as_json, done, f"built {snapshots}; {current}; computed {built.computed}")


@app.command()
def features(
    name: Annotated[str | None, typer.Argument(help="The name of a feature; default: all.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the page docs/features.md to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """List features: meaning, unit, and the models that use them."""
    from features.groups import features_of
    from models.explain import lineage

    if write is not None:
        write.write_text(lineage.page())
        print_result(as_json, {"written": str(write)}, f"wrote {write}")
        return
    listed = lineage.describe(name, features_of(open_home()))
    lines = [f"{f.name:<22}{f.group:<11}{f.unit:<11}{f.meaning}" for f in listed]
    if name is not None:
        lines = [f"{key:<16}{_plain(value)}" for key, value in vars(listed[0]).items()]
    print_result(as_json, {"features": [vars(f) for f in listed]}, "\n".join(lines))


def _dry_run(files: list[str], mapping: str, table: str | None, allow_rejects: bool, as_json: bool) -> None:
    """Print what imports of files would count; fail if one of them would be refused."""
    from events.files import imports

    done = [imports.dry_run(open_home(), file, mapping, table) for file in files]
    lines = []
    for file in done:
        lines += [f"{file['file']}: nothing was imported (--dry-run)", *_counts(file), *_review(file)]
        lines += [f"WARNING it would be refused: {file['refused']}"] if file["refused"] else []
    refused = any(file["refused"] for file in done) and not allow_rejects
    result = done[0] if len(done) == 1 else {"files": done}
    print_result(as_json, result, "\n".join(lines), Exit.FAILED if refused else Exit.DONE)


def _review(done: dict[str, Any]) -> list[str]:
    """The summary by month and the warnings; imports of earlier releases have neither."""
    from events.files.review import monthly

    warnings = [f"WARNING {warning['text']}" for warning in done.get("warnings", [])]
    return [*monthly.as_lines(done.get("months", [])), *warnings]


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


def _accounts(done: dict[str, Any]) -> str:
    clock = "the clock is wall time" if done["live"] else f"the clock is frozen at {done['clock']}"
    if not done["changed"]:
        return f"{done['file']} has no new rows; nothing changed, {clock}"
    span = f"orders from {done['from']} to {done['to']}" if done["from"] else "no orders yet"
    return "\n".join([*_counts(done), *_review(done), f"{span}; {clock}{_forgotten(done)}"])


def _counts(done: dict[str, Any]) -> list[str]:
    """The rows of a file by what became of them."""
    accepted, rejected = sum(done["kept"].values()), sum(done["set_aside"].values())
    lines = [f"read {done['read']:,} = kept {accepted:,} + rejected {rejected:,} ({done['format']})"]
    lines += [f"  {reading}" for reading in done["readings"]]
    lines += [f"  kept       {n:>9,}  {name.replace('_', ' ')}" for name, n in done["kept"].items()]
    lines += [f"  rejected   {n:>9,}  {name.replace('_', ' ')}" for name, n in done["set_aside"].items()]
    notes = done["notes"] | {name: done.get(name, 0) for name in ("refunds_unmatched", "orders_corrected")}
    notes |= {f"{name}_new": n for name, n in done.get("new", {}).items()}
    return lines + [f"  of note    {n:>9,}  {name.replace('_', ' ')}" for name, n in notes.items() if n]


def _forgotten(done: dict[str, Any]) -> str:
    """The number of messages that the replaced shop had received."""
    gone = done.get("messages_forgotten", 0)
    return f"; the {gone:,} messages of the replaced shop are deleted" if gone else ""


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)
