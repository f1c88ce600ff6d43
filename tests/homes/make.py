"""Makes a home with the checkout in the working directory, packs it, and records what it answers.

    cd CHECKOUT
    .venv/bin/python .../tests/homes/make.py NAME

writes ``NAME.tar.xz``, the home, and ``NAME.json``, the questions and the checkout's answers, next to this
file. Run it once per layout of homes, by hand, and never again for that layout: a later version that answers
otherwise does not serve the homes that people have.

The home is made through the command line and HTTP only: a simulated shop; models of customers, products and
categories, with a rollback and a challenge; a classifier of texts; keys of each state; events, some in the
lake and some in the database; decisions, outcomes, a run, a score job and logged predictions. Then its clock
is frozen, so that its answers do not depend on the day of the test. The secrets in ``NAME.json`` open this
home alone.

MLflow's tables and Feast's registry hold absolute paths of the folder in which they are written. It is
``/srv/patron`` (``--folder``), and nothing that serves a home reads those paths.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from answers import collect, differences
from checkout import Caller, Checkout
from usage import (
    FIRST,
    LAST,
    SEED,
    make_keys,
    orders_of,
    send_first,
    send_second,
    use,
    wait_for,
    write_texts,
)

CUSTOMERS, YEARS = 400, 1.5
LARGEST_BYTES = 1_000_000


def main() -> None:
    """Make the home, pack it, and record what it answers."""
    parser = argparse.ArgumentParser(description="Make a home of this checkout's layout for the tests.")
    parser.add_argument("name", help="of the layout, such as a release")
    parser.add_argument("--folder", type=Path, default=Path("/srv/patron"), help="must not exist yet")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[\w.-]+", arguments.name):
        parser.error("a name takes letters, digits, dots and hyphens")
    if arguments.folder.exists():
        parser.error(f"{arguments.folder} exists; remove it, or choose another --folder")
    checkout = Path.cwd()
    arguments.folder.mkdir(parents=True)
    questions = make(Checkout(checkout, arguments.folder / "home"), arguments.folder)
    archive = Path(__file__).with_name(f"{arguments.name}.tar.xz")
    pack(arguments.folder / "home", archive)
    first, second = (answers_of(archive, checkout, arguments.folder / name, questions) for name in ("1", "2"))
    if unlike := differences(first, second):
        raise SystemExit("\n".join(["the same home gives two answers:", *unlike[:20]]))
    record = {"questions": questions, "answers": first}
    archive.with_name(f"{arguments.name}.json").write_text(as_lines(record), encoding="utf-8")
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def answers_of(archive: Path, checkout: Path, folder: Path, questions: dict[str, Any]) -> dict[str, Any]:
    """What the home of an archive answers, unpacked into a folder."""
    folder.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(folder)
    return collect(Checkout(checkout, folder / "home"), questions)


def make(checkout: Checkout, folder: Path) -> dict[str, Any]:
    """Make the home, and return what is to be asked of it."""
    say("simulate, build and train")
    checkout.patron("simulate", "--customers", str(CUSTOMERS), "--years", str(YEARS), "--seed", str(SEED))
    texts = write_texts(folder / "texts.csv")
    checkout.patron("train", "feedback", "--table", str(texts), "--text", "text", "--label", "content")
    checkout.patron("build")
    checkout.patron("train", "all", codes=(0, 3))
    checkout.patron("train", "propensity")
    checkout.patron("rollback", "propensity", "--why", "the second one is to challenge")
    checkout.patron("challenge", "propensity", "2", "--share", "0.3")
    keys = make_keys(checkout)
    (checkout.home / "actions.toml").write_text(checkout.patron("recommend", "--draft"), encoding="utf-8")

    say("first events, into the lake")
    with checkout.serving("child") as address, Caller(address, keys["all"]) as caller:
        ids = [row["customer_id"] for row in caller.pages("/v1/customers", "customers", limit=200)]
        send_first(caller, ids)
        wait_for(lambda: orders_of(caller, FIRST) == 1)
    checkout.patron("compact")
    checkout.patron("train", "products", codes=(0, 3))
    force_champions(checkout)

    say("more events, decisions, outcomes and jobs")
    with checkout.serving("child") as address, Caller(address, keys["all"]) as caller:
        send_second(caller, ids)
        wait_for(lambda: orders_of(caller, LAST) == 1)
        questions = use(caller, ids)
    freeze(checkout.home / "home.toml")
    return questions | {"keys": keys}


def force_champions(checkout: Checkout) -> None:
    """Let the first version of each trained model answer that no gate let through: the shop is small."""
    for name, model in checkout.patron_json("models")["models"].items():
        if model["versions"] and not any(version["champion"] for version in model["versions"]):
            checkout.patron("promote", name, "1", "--why", "the tests ask for it", "--force")


def freeze(settings: Path) -> None:
    """Freeze the clock of a home at the next second, after all that happened in it."""
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    text = settings.read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^\[clock\]\n.*$", f"[clock]\nfrozen_at = {now.isoformat()}", text)
    if changed == text:
        raise SystemExit(f"{settings} has no [clock] to set")
    settings.write_text(changed, encoding="utf-8")


def pack(home: Path, archive: Path) -> None:
    """Pack a home without what it serves no answer from, so that the archive stays small.

    Left out are plots (people look at them in MLflow), the features of past months (training reads them, and
    `patron build` makes them anew), the version of the lake that the last one replaced, the simulation's true
    rates, locks, SQLite's logs once their pages are in the databases, and how much the keys used of their
    limits.
    """
    for log in list(home.rglob("*.db-wal")):
        # SQLite moves the pages by itself in time, and removes the log with the last connection.
        with closing(sqlite3.connect(log.with_suffix(".db"))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pointers = list((home / "snapshots").glob("*/current.json"))
    current = {Path(file).name for p in pointers for file in json.loads(p.read_bytes())["files"].values()}
    *replaced, _ = sorted((home / "events").glob("v*"))

    def served(path: Path) -> bool:
        if path.suffix in (".png", ".lock", ".db-shm", ".db-wal") or path.name == "truth.parquet":
            return False
        if any(path.is_relative_to(folder) for folder in (home / "limits", *replaced)):
            return False
        past = path.is_relative_to(home / "snapshots") and path.suffix == ".parquet"
        return not past or path.name in current

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    # Files of a kind side by side are compressed best.
    files = [path for path in home.rglob("*") if path.is_file() and served(path)]
    files.sort(key=lambda path: (path.suffix, path.name, path))
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in files:
            packed.add(path, Path("home", path.relative_to(home)), filter=anonymous)
    if archive.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{archive} has {archive.stat().st_size:,} bytes; it may have {LARGEST_BYTES:,}")


def as_lines(record: dict[str, Any]) -> str:
    """JSON with a line per element of each part, so that a difference can be found in it."""
    lines = []
    for part, values in record.items():
        inner = [f"  {json.dumps(name)}: {_lines(value)}" for name, value in values.items()]
        lines.append(f" {json.dumps(part)}: {{\n" + ",\n".join(inner) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _lines(value: Any) -> str:
    def plain(element: Any) -> str:
        return json.dumps(element, ensure_ascii=False, separators=(",", ":"))

    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"   {plain(element)}" for element in value) + "\n  ]"
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"   {json.dumps(name)}: {plain(v)}" for name, v in value.items()) + "\n  }"
    return plain(value)


def say(words: str) -> None:
    """A line of progress."""
    print(words, flush=True)


if __name__ == "__main__":
    main()
