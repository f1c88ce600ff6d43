"""Shared by all commands: the home, the progress bar, the output, the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.home import Home
    from features.offline.engines import BuildEngine
    from features.offline.engines.executors import Cluster
    from models.registry.registry import Registry

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and no progress.")]


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    CHECK_FAILED = 3  # a gate of a model, or drift


class EngineName(StrEnum):
    """The engines of a build."""

    DUCKDB = "duckdb"
    SPARK = "spark"


def open_home(*, tighten: bool = True) -> Home:
    """The home that PATRON_HOME names.

    Args:
        tighten: make a home private that an earlier Patron created readable by others.
    """
    from core import private
    from core.settings import FeatureSettings

    home = FeatureSettings().open_home()
    if tighten:
        private.tighten(home)
    return home


def open_registry() -> Registry:
    """The model registry of a home that contains a shop, or models of tables or texts."""
    from models.registry.registry import Registry

    home = open_home()
    if not home.mlflow.exists():
        home.shop()
    return Registry(home)


def open_engine(home: Home, name: EngineName) -> AbstractContextManager[BuildEngine | None]:
    """An engine for a build of a home, None for DuckDB; Spark is disconnected at the end.

    Raises:
        PatronError: Spark cannot be used.
    """
    from core.errors import PatronError
    from events.warehouse import is_in_warehouse
    from features.offline.engines import engine_of
    from features.offline.engines.spark import spark_build

    if name is EngineName.DUCKDB:
        return nullcontext(engine_of(home) if is_in_warehouse(home) else None)
    if is_in_warehouse(home):
        raise PatronError("the events of this shop are in its warehouse, which computes; leave --engine out")
    return spark_build(home, spark_cluster())


def spark_cluster() -> Cluster:
    """The Spark of the settings."""
    from core.settings import FeatureSettings
    from features.offline.engines.executors import Cluster

    settings = FeatureSettings()
    return Cluster(settings.spark_master, settings.spark_storage)


def known_key(home: Home, customer_id: str, verb: str) -> int:
    """The key of a shop's customer.

    Args:
        verb: the name of the command, for the message.

    Raises:
        NothingThere: there is no shop, or the shop has no customer of this id.
    """
    from core.errors import NothingThere
    from features.offline.existing_customers import ExistingCustomers
    from serving.scores.inference import UNKNOWN

    home.shop()
    key = ExistingCustomers(home).keys([customer_id]).get(customer_id)
    if key is None:
        raise NothingThere(f"{UNKNOWN}; `patron {verb}` takes the shop's own ids")
    return key


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on stderr if it is a terminal."""
    from core.progress import silent

    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<36}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda message, done: bar.update(task, description=message, completed=done)


def print_note(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def print_result(as_json: bool, result: dict[str, Any], text: str, code: Exit = Exit.DONE) -> None:
    """Print the result as JSON or as text, and exit with ``code`` unless it is 0."""
    print(json.dumps(result, default=str, indent=2) if as_json else text)
    if code:
        raise typer.Exit(code)
