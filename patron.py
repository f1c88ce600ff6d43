"""The command line: one function per verb, heavy imports inside them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from typer.exceptions import TyperException

from features.errors import PatronError

if TYPE_CHECKING:
    from features.home import Home
    from features.progress import Progress

app = typer.Typer(
    help="Customer intelligence that a company runs itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="The shop lives in the folder PATRON_HOME (default: .patron).",
)
keys = typer.Typer(help="Make, list, rotate and revoke the API keys of the service.", no_args_is_help=True)
app.add_typer(keys, name="keys")
quarantine = typer.Typer(
    help="Events that could not be used: see why, try again, drop.", no_args_is_help=True
)
app.add_typer(quarantine, name="quarantine")
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and no progress.")]
Model = Annotated[str, typer.Argument(help="A model's name, or all.", metavar="MODEL")]
OneModel = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]
Why = Annotated[str, typer.Option(help="Why, for those who come after.")]


class Language(StrEnum):
    """What texts and reasons are told in."""

    en = "en"
    zh = "zh"


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    SAID_NO = 3  # a gate or a monitor


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
    from features import imports

    with _progress(as_json) as progress:
        done = imports.simulate_shop(_home(), customers, seed, years, replace, progress)
    said = f"simulated {done['orders']:,} orders from {done['from']} to {done['to']}"
    _say(as_json, done, said + _forgotten(done))


@app.command()
def init(
    time_zone: Annotated[str, typer.Option(help="The shop's, such as Europe/Berlin.", metavar="ZONE")],
    currency: Annotated[str, typer.Option(help="What amounts are in, such as EUR.", metavar="CODE")],
    as_json: AsJson = False,
) -> None:
    """Make a shop without history, on wall time, that begins with the events that arrive."""
    from features import imports

    home = _home()
    done = imports.begin_live(home, time_zone, currency)
    said = f"made a shop in {home.path}, in {currency} and {time_zone}; `patron serve` receives its events"
    _say(as_json, done, said)


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
    from features import imports

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
        with _progress(as_json) as progress:
            fresh = replace and i == 0
            done.append(imports.import_file(_home(), file, mapping, as_of, fresh, progress, table, live))
    if done:
        _say(as_json, done[0] if len(done) == 1 else {"files": done}, "\n".join(map(_accounts, done)))
    elif report:
        columns, rows = imports.set_aside(_home())
        listed = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        lines = ["  ".join(columns), *("  ".join(map(str, row)) for row in rows)]
        said = f"set aside (the first {imports.REPORT_ROWS} of each reason; all are in"
        place = imports.set_aside_file(_home())
        _say(as_json, {"set_aside": listed}, "\n".join([f"{said} {place}):", *lines]))


@app.command()
def compact(as_json: AsJson = False) -> None:
    """Move the events that arrived into the lake; the service does so by itself now and then."""
    from features import compact as compaction
    from features.database import Database

    home = _home()
    home.shop()
    moved = compaction.compact(home, Database(home))
    _say(as_json, {"events": moved}, f"moved {moved:,} events into the lake")


@app.command()
def build(as_json: AsJson = False) -> None:
    """Compute features: monthly snapshots for training, everyone's as of now for serving."""
    with _progress(as_json) as progress:
        built = _build(_home(), True, progress)
    done = {"as_ofs": len(built.as_ofs), "current": built.current.isoformat()}
    _say(
        as_json, done, f"built {done['as_ofs']} snapshots; the present is {built.current:%Y-%m-%d %H:%M} UTC"
    )


@app.command()
def features(
    name: Annotated[str | None, typer.Argument(help="One feature; all by default.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the page of all features here.")] = None,
    as_json: AsJson = False,
) -> None:
    """What each feature means, its unit, and which models read it."""
    from models import lineage

    if write is not None:
        write.write_text(lineage.page())
        _say(as_json, {"written": str(write)}, f"wrote {write}")
        return
    found = lineage.describe(name)
    lines = [f"{f.name:<22}{f.group:<11}{f.unit:<11}{f.meaning}" for f in found]
    if name is not None:
        lines = [f"{key:<16}{_plain(value)}" for key, value in vars(found[0]).items()]
    _say(as_json, {"features": [vars(f) for f in found]}, "\n".join(lines))


@app.command()
def train(
    model: Model,
    horizon: Annotated[
        int | None, typer.Option(max=36_500, help="Days to look ahead, in place of the model's own.")
    ] = None,
    advise: Annotated[
        bool, typer.Option(help="Only for churn: say which window is sensible, and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train, test by time, publish to MLflow, and promote what passes its gates."""
    home = _home()
    if advise:
        if model != "churn" or horizon is not None:
            raise typer.BadParameter("--advise is for churn alone, and takes no --horizon")
        advice = _advice(home)
        _say(as_json, advice.as_dict(), advice.table())
        return
    with _progress(as_json) as progress:
        trained = _train(home, _models(model), horizon, progress)
    refused = [v for v in trained if v.refusals]
    done = {"versions": [vars(v) for v in trained]}
    _say(as_json, done, "\n".join(_version(v) for v in trained), Exit.SAID_NO if refused else Exit.DONE)


@app.command()
def models(
    model: Annotated[str, typer.Argument(help="A model's name, or all.", metavar="MODEL")] = "all",
    as_json: AsJson = False,
) -> None:
    """List versions: when learnt, how good, which gates stayed shut, and who promoted what and why."""
    registry, listed, lines = _registry(), {}, []
    for name in _models(model):
        versions, moves = registry.versions(name), registry.moves(name)
        listed[name] = {"versions": [vars(v) for v in versions], "moves": [vars(m) for m in moves]}
        lines += [_listed(v) for v in versions] or [f"{name} was never trained; run `patron train {name}`"]
        lines += [f"      {m.words}" for m in moves]
    _say(as_json, {"models": listed}, "\n".join(lines))


@app.command()
def compare(
    model: OneModel,
    version: Annotated[str | None, typer.Option(help="Default: the newest.", metavar="VERSION")] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Default: the champion, or what it replaced, or baselines.", metavar="VERSION"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a version against another and the baselines, on the same customers of known outcome."""
    from features.store import Store
    from models.catalogue import find
    from training import contest
    from training.compare import table

    chosen, home, registry = find(model), _home(), _registry()
    contest.choose(registry, model, version, against)  # says what is wrong before anything is built
    with _progress(as_json) as progress:
        built = _build(home, True, progress)
        progress("scores and their differences", 0.5)
        done = contest.contest(home, built, Store(home), registry, chosen, version, against)
    head = f"{done.model} version {done.version}, {done.horizon_days} days ahead. {done.note}"
    moves = [m for m in registry.moves(model) if {m.after, m.before} & {done.version, done.against}]
    text = [head, "", table(done.found), *(["", *(m.words for m in moves)] if moves else [])]
    _say(as_json, done.as_dict() | {"moves": [vars(m) for m in moves]}, "\n".join(text))


@app.command()
def promote(
    model: OneModel,
    version: Annotated[str, typer.Argument(help="The version that shall answer.", metavar="VERSION")],
    why: Why,
    force: Annotated[bool, typer.Option(help="Also where gates stayed shut; this is recorded.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a version answer from now on, and record who did it and why."""
    from models import promotion

    name, registry = _one(model), _registry()
    try:
        move = promotion.promote(registry, name, version, why, force)
    except promotion.GatesShut as refused:
        _say(as_json, {"promoted": None, "refused": str(refused)}, str(refused), Exit.SAID_NO)
        return
    _say(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def rollback(model: OneModel, why: Why, as_json: AsJson = False) -> None:
    """Let the version answer again that was promoted before the champion, and record it."""
    from models import promotion

    name, registry = _one(model), _registry()
    move = promotion.rollback(registry, name, why)
    _say(as_json, {"promoted": vars(move)}, _moved(name, move))


@app.command()
def score(
    out: Annotated[Path, typer.Option(help="Where to write: a .parquet or .csv file.")],
    model: Annotated[str, typer.Option(help="A model's name, or all.")] = "all",
    as_json: AsJson = False,
) -> None:
    """Score every customer into a file, and into the log."""
    from serving import bulk

    with _progress(as_json) as progress:
        done = bulk.score_everyone(_home(), out, _models(model), progress)
    lines = [f"scored {done['customers']:,} customers into {out}"]
    lines += [f"no {name} scores: {why}" for name, why in done["absent"].items()]
    _say(as_json, done, "\n".join(lines))


@app.command()
def recommend(
    out: Annotated[
        Path | None, typer.Option(help="Where to write: an .ndjson, .csv or .parquet file.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help="Only for FEATURE:VALUE of a text feature.", metavar="SEGMENT")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Only through this channel; may be repeated.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Of texts and reasons.")] = Language.en,
    target: Annotated[
        str | None,
        typer.Option(
            "--for", help="The CRM that a CSV is for: zoho, fxiaoke, hubspot or salesforce.", metavar="CRM"
        ),
    ] = None,
    draft: Annotated[
        bool, typer.Option(help="Print an example of actions.toml, and decide nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide the next best action for everyone, into a file and into the log."""
    if draft:
        print(_example_actions(), end="")
        return
    if out is None:
        raise typer.BadParameter("say --out FILE, or --draft for an example of actions")
    from serving.recommend import recommend_everyone

    with _progress(as_json) as progress:
        done = recommend_everyone(_home(), out, segment, channel, language.value, progress, target)
    lines = [f"decided for {done['customers']:,} customers into {out}"]
    lines += [f"  {count:>9,}  {action}" for action, count in done["actions"].items()]
    _say(as_json, done, "\n".join(lines))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Default: PATRON_HOST or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: PATRON_PORT or 8000.", min=1, max=65535)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer. Default: PATRON_WORKERS or 1.", min=1, max=64)
    ] = None,
) -> None:
    """Answer over HTTP until stopped."""
    from serving.app import serve as run
    from serving.settings import ServingSettings

    asked = {"host": host, "port": port, "workers": workers}
    given = {name: value for name, value in asked.items() if value is not None}
    settings = ServingSettings().model_copy(update=given)
    _check_port(settings.host, settings.port)
    run(_home(), settings, lambda: _note(f"serving on {settings.address}, docs at /docs"))


@app.command()
def refresh(
    once: Annotated[bool, typer.Option(help="Only what is to be done now; then end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep features at what happened: events as they come, and everyone each midnight, until stopped."""
    import logging
    import signal
    import threading

    from features import refresher

    home, stop = _home(), threading.Event()
    shop = home.shop()
    if not shop.live:
        still = f"the clock of this shop stands still at {shop.now():%Y-%m-%d %H:%M} UTC; nothing changes"
        _say(as_json, {"refreshed": False, "reason": still}, still)
        return
    if once:
        done = refresher.refresh_once(home)
        _say(as_json, {"refreshed": True, "messages": done}, f"all of {done:,} messages are in the features")
        return
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    refresher.refresh(home, stop)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what can be reached, of which versions, what lags behind, and what to do."""
    from serving.doctor import examine

    checks = examine(_home())
    lines = [
        f"{check.state:<8} {check.part:<13} {check.found}{f'; {check.advice}' if check.advice else ''}"
        for check in checks
    ]
    failed = any(check.state == "failed" for check in checks)
    done = {"checks": [vars(check) for check in checks]}
    _say(as_json, done, "\n".join(lines), Exit.FAILED if failed else Exit.DONE)


@app.command()
def monitor(
    model: Annotated[str, typer.Argument(help="A model's name, or all.", metavar="MODEL")] = "all",
    days: Annotated[int, typer.Option(min=1, help="How many days of answers to look at.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Compare what was scored lately with what each champion was accepted on."""
    from models.registry import Registry
    from serving.monitoring import run

    home = _home()
    home.shop()
    with _progress(as_json) as progress:
        watched = run.monitor(home, _models(model), days, Registry(home), progress)
    drifted = any(w.report.verdict == "drifted" for w in watched)
    done = {
        "reports": [
            w.report.as_dict() | {"json": str(w.json), "html": w.html and str(w.html)} for w in watched
        ]
    }
    text = "\n".join(f"{w.report.words}\n  {w.html or w.json}" for w in watched)
    _say(as_json, done, text, Exit.SAID_NO if drifted else Exit.DONE)


@app.command()
def up() -> None:
    """A shop, trained and served: everything that is missing is made, then the service runs."""
    from features import imports, lake
    from serving.access import check
    from serving.app import serve as run
    from serving.keys import Keys
    from serving.settings import ServingSettings

    settings, home, started = ServingSettings(), _home(), time.monotonic()
    check(Keys(home), settings)
    _check_port(settings.host, settings.port)
    with _progress(False) as progress:
        if not lake.exists(home):
            imports.simulate_shop(home, 6000, 7, 3.0, progress=progress)
        else:
            imports.extend_simulation(home, progress)
        try:
            said = _make_ready(home, progress)
        except PatronError as error:
            if home.shop().source != imports.LIVE:
                raise
            said = [f"no models yet: {error}"]  # its history is still to come
    _draft_actions(home)
    example = _example(home)
    address = settings.address
    run(home, settings, lambda: _note(_welcome(home, address, said, example, time.monotonic() - started)))


@keys.command("create")
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
    from serving.key import span
    from serving.keys import Keys

    kept = Keys(_home())
    key, secret = kept.create(name, scopes.split(","), span(expires_in) if expires_in else None, per_minute)
    _say(as_json, {"key": secret} | key.as_dict(kept.now()), secret)
    if not as_json:
        _note(f"the key {key.name!r} of {', '.join(key.scopes)}; keep it, it is not shown again")


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys by name and first characters: scopes, when made, limit, when they expire or were revoked."""
    from serving.keys import Keys

    home = _home()
    kept = Keys(home)
    found, now = kept.all(), kept.now()
    lines = [key.line(now) for key in found] or [
        f"there are no keys in {home.path}; `patron keys create NAME --scopes all` makes one"
    ]
    _say(as_json, {"keys": [key.as_dict(now) for key in found]}, "\n".join(lines))


@keys.command("rotate")
def rotate_key(
    key: Annotated[str, typer.Argument(help="A key's name, or its first characters.", metavar="KEY")],
    overlap: Annotated[
        str, typer.Option(help="How long the old one works yet, such as 24h or 7d; 0h: not at all.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Make another key of the same name, scopes, limit and lifetime, and print it, this once."""
    from serving.key import span
    from serving.keys import Keys

    kept = Keys(_home())
    made, secret, old = kept.rotate(key, span(overlap))
    now = kept.now()
    _say(as_json, {"key": secret} | made.as_dict(now) | {"old": old.as_dict(now)}, secret)
    if not as_json:
        _note(
            f"the new key {made.name!r}; keep it, it is not shown again."
            f" The old one ({old.prefix}) opens nothing from {old.expires:%Y-%m-%d %H:%M} UTC on"
        )


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="A key's name, or its first characters.", metavar="KEY")],
    as_json: AsJson = False,
) -> None:
    """Let the keys of a name, or one by its first characters, open nothing any more, for good."""
    from serving.keys import Keys

    kept = Keys(_home())
    revoked = kept.revoke(key)
    prefixes = ", ".join(one.prefix for one in revoked)
    said = f"revoked {revoked[0].name!r} ({prefixes}); a running service refuses it within a second"
    _say(as_json, {"revoked": [one.as_dict(kept.now()) for one in revoked]}, said)


@quarantine.command("list")
def list_quarantine(
    most: Annotated[int, typer.Option(min=0, help="How many of the newest to list one by one.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Why events could not be used and how many, then the newest; shows nothing of what they say."""
    from features.database import Database
    from features.quarantine import entries, reasons

    database = Database(_home())
    why, newest = reasons(database), entries(database, most)
    lines = [f"{r.count:>8,}  {r.reason} ({r.first:%Y-%m-%d %H:%M} to {r.last:%Y-%m-%d %H:%M})" for r in why]
    lines += ["", *(f"{e.id:>8}  {e.received_at:%Y-%m-%d %H:%M:%S}  {e.reason}" for e in newest)]
    done = {
        "reasons": [vars(r) | {"first": r.first.isoformat(), "last": r.last.isoformat()} for r in why],
        "newest": [vars(e) | {"received_at": e.received_at.isoformat()} for e in newest],
    }
    _say(as_json, done, "\n".join(lines) if why else "the quarantine is empty")


@quarantine.command("show")
def show_quarantined(
    id: Annotated[int, typer.Argument(help="Its number, as listed.", metavar="ID")], as_json: AsJson = False
) -> None:
    """One event as it came, which may hold personal data."""
    from features.database import Database
    from features.quarantine import show

    entry, message = show(Database(_home()), id)
    head = f"{entry.reason}; received {entry.received_at:%Y-%m-%d %H:%M:%S} UTC"
    told = json.dumps(message, indent=2)
    done = vars(entry) | {"received_at": entry.received_at.isoformat(), "message": message}
    _say(as_json, done, f"{head}\n{told}")


@quarantine.command("replay")
def replay_quarantine(as_json: AsJson = False) -> None:
    """Try all again; those that can be used now count as of when they were received."""
    from features.database import Database
    from features.quarantine import replay
    from features.sources.segment import Place

    home = _home()
    shop = home.shop()
    done = replay(Database(home), Place(shop.time_zone, shop.currency))
    _say(as_json, vars(done), f"kept {done.kept:,}; {done.refused:,} cannot be used still")


@quarantine.command("drop")
def drop_quarantined(
    ids: Annotated[list[int] | None, typer.Argument(help="Their numbers, as listed.", metavar="ID")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget events that could not be used, for good."""
    from features.database import Database
    from features.quarantine import drop

    if bool(ids) == everything:
        raise typer.BadParameter("say which: their numbers, or --all")
    dropped = drop(Database(_home()), ids or None)
    _say(as_json, {"dropped": dropped}, f"dropped {dropped:,}")


def _draft_actions(home: Home) -> None:
    """Give a simulated shop the example's actions, where it has none; those of a real one are its own."""
    if home.shop().source == "simulate" and not home.actions.exists():
        home.actions.write_text(_example_actions(), encoding="utf-8")


def _example_actions() -> str:
    from models.decisions.actions import EXAMPLE

    return EXAMPLE.read_text(encoding="utf-8")


def _make_ready(home: Home, progress: Progress) -> list[str]:
    """Train where a model has no usable champion, else only renew the features; say what was done."""
    from features.store import Store
    from models.catalogue import MODELS
    from models.registry import Registry

    registry = Registry(home)
    trained = {name: registry.versions(name) for name in MODELS}
    if all(trained.values()):
        _build(home, False, progress)
        definitions = Store(home).definitions()
        stale = [n for n, vs in trained.items() if _stale(registry, n, vs[0].version, definitions)]
        if not stale:
            return [_version(next((v for v in vs if v.champion), vs[0])) for vs in trained.values()]
    return [_version(v) for v in _train(home, list(MODELS), None, progress)]


def _stale(registry: Any, name: str, version: str, definitions: dict[str, str]) -> bool:
    """Whether a version was trained with other features than today's."""
    try:
        registry.open(name, version).check_definitions(definitions)
    except PatronError:
        return True
    return False


def _build(home: Home, monthly: bool, progress: Progress) -> Any:
    from features import builds

    return builds.build(home, monthly, progress)


def _train(home: Home, names: list[str], horizon: int | None, progress: Progress) -> list[Any]:
    from features.store import Store
    from models.catalogue import find
    from models.registry import Registry
    from training.pipeline import asked_with, train

    models = [asked_with(find(name), horizon) for name in names]
    home.shop()
    built = _build(home, True, progress)
    store, registry = Store(home), Registry(home)
    return [train(home, model, built, store, registry, progress) for model in models]


def _advice(home: Home) -> Any:
    from features import lake
    from training.advise import advise, visits

    shop = home.shop()
    events = lake.read(home, lake.connect()).known_at(shop.now())
    return advise(visits(events).to_pandas(), shop.today())


def _registry() -> Any:
    """The registry of a home that holds a shop."""
    from models.registry import Registry

    home = _home()
    home.shop()
    return Registry(home)


def _one(name: str) -> str:
    from models.catalogue import find

    return find(name).name


def _models(name: str) -> list[str]:
    from models.catalogue import MODELS, find

    return list(MODELS) if name == "all" else [find(name).name]


def _example(home: Home) -> str | None:
    """A customer who exists and ordered lately, for the reader to ask about; None where nobody ordered."""
    from features import lake
    from features.identity import Identity

    lines = lake.read(home, lake.connect()).order_lines
    latest = lines.order_by(lines.timestamp.desc()).limit(1).customer_key.to_pyarrow().to_pylist()
    return next(iter(Identity(home).ids(latest).values()), None)


def _welcome(home: Home, address: str, said: list[str], example: str | None, seconds: float) -> str:
    from features import lake
    from models.registry import local_uri

    shop = lake.describe(home)
    span = (
        f"{shop['orders']:,} orders from {shop['from']} to {shop['to']}"
        if shop["orders"]
        else "no orders yet"
    )
    return "\n".join(
        [
            "",
            f"Patron is up after {seconds:.0f} s, with {span} ({shop['source']}) in {home.path}",
            *(f"  {line}" for line in said),
            *_to_try(home, address, example),
            f"  the API's page   {address}/docs",
            f"  MLflow's page    .venv/bin/mlflow ui --workers 1 --port 5000"
            f" --backend-store-uri {local_uri(home)}",
            "Ctrl-C stops it; `make up` starts it again with what is there.",
        ]
    )


def _to_try(home: Home, address: str, example: str | None) -> list[str]:
    if example is None:
        return []
    body = json.dumps({"customer_ids": [example]})
    ask = f"  curl -s {address}/v1/scores -H 'content-type: application/json' -d '{body}'"
    place = f"{address}/v1/customers/{quote(example, safe='')}/next-best-actions"
    act = f"  curl -s {place} -H 'content-type: application/json' -d '{{}}'"
    return ["Try, in another terminal:", ask, *([act] if home.actions.exists() else [])]


def _version(version: Any) -> str:
    """A model version in a line of words."""
    from training.evaluate import RANKING

    measure = next(name for name, _ in RANKING.values() if name in version.metrics)
    head = (
        f"{version.name} version {version.version}: {measure} {version.metrics[measure]:.3f} on a later time"
    )
    if version.refusals:
        return f"{head}; not promoted: {'; '.join(version.refusals)}"
    return f"{head}; {'champion' if version.champion else 'passed its gates'}"


def _listed(version: Any) -> str:
    """A model version in a row: which, when, how good, and its gates."""
    from training.evaluate import RANKING

    measure = next((name for name, _ in RANKING.values() if name in version.metrics), None)
    good = f"{measure} {version.metrics[measure]:.3f}" if measure else "not measured"
    gates = f"gates shut: {'; '.join(version.refusals)}" if version.refusals else "passed its gates"
    mark = "*" if version.champion else " "
    head = f"{mark} {version.name:<12}{version.version:>3}  {version.trained[:10]:<10}  {good:<13}"
    return f"{head} {'champion, ' if version.champion else ''}{gates}"


def _moved(name: str, move: Any) -> str:
    since = f" in place of version {move.before}" if move.before else ""
    against = ", against its gates" if move.forced else ""
    return (
        f"{name} version {move.after} answers from now on{since}{against}; recorded for {move.who}."
        " A running service keeps what it started with until it is restarted."
    )


def _forgotten(done: dict[str, Any]) -> str:
    """What a shop that was replaced had received."""
    gone = done.get("messages_forgotten", 0)
    return f"; the {gone:,} messages that had arrived are forgotten" if gone else ""


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


def _home() -> Home:
    from features.settings import FeatureSettings

    return FeatureSettings().open_home()


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)


def _check_port(host: str, port: int) -> None:
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PatronError(
                f"cannot listen on {host}:{port} ({error.strerror}); stop what uses it, or choose another"
                " port with PATRON_PORT"
            ) from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on the terminal's error channel; nothing where it is not a terminal."""
    from features.progress import silent

    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<36}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda message, done: bar.update(task, description=message, completed=done)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say(as_json: bool, done: dict[str, Any], text: str, code: Exit = Exit.DONE) -> None:
    print(json.dumps(done, default=str, indent=2) if as_json else text)
    if code:
        raise typer.Exit(code)


def _wrong_setting(error: Exception) -> str | None:
    """What is wrong with which environment variable, where that is the error."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or not error.title.endswith("Settings"):
        return None
    return "; ".join(f"PATRON_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())


def main() -> int:
    """Run a command; every error ends in a line for the person, and an exit code."""
    os.environ["TZ"] = "UTC"  # Feast's SQLite store keeps local time
    time.tzset()
    try:
        result = app(standalone_mode=False)
        return int(result or Exit.DONE)
    except PatronError as error:
        _note(f"patron: {error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.FAILED
    except TyperException as error:
        error.show()  # type: ignore[attr-defined]
        return Exit.WRONG_USE
    except Exception as error:
        if wrong := _wrong_setting(error):
            _note(f"patron: {wrong}")
            return Exit.WRONG_USE
        if os.environ.get("PATRON_DEBUG"):
            raise
        _note(f"patron: unexpected {type(error).__name__}: {error} (PATRON_DEBUG=1 shows where)")
        return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
