"""The command that creates a shop, trains its models and starts the service."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer

from commands.access.audit import audited
from commands.answers import example_actions
from commands.common import open_home, print_note, progress_bar
from commands.reporting import audit_training, version_line
from commands.service import check_port
from core.errors import PatronError

if TYPE_CHECKING:
    from core.home import Home
    from core.progress import Progress

app = typer.Typer()


@app.command()
def up() -> None:
    """Create what is missing of a shop and its models, then serve."""
    from console import server
    from events import lake
    from events.lake import shops
    from events.simulation import simulated_shop
    from serving.access.authentication import check
    from serving.access.keys import Keys
    from serving.settings import ServingSettings

    settings, home, started = ServingSettings(), open_home(), time.monotonic()
    check(Keys(home), settings.host, on_loopback=settings.on_loopback)
    check_port(settings.host, settings.port)
    with progress_bar(False) as progress:
        if not lake.exists(home):
            simulated_shop.simulate_shop(home, 6000, 7, 3.0, progress=progress)
            audited(home, "simulated a shop", "")
        else:
            simulated_shop.extend_simulation(home, progress)
        try:
            report = _make_ready(home, progress)
            _score_once(home, progress)
        except PatronError as error:
            if home.shop().source != shops.LIVE:
                raise
            report = [f"no models yet: {error}"]  # it has no history yet
    draft_actions(home)
    example = _example(home)
    address = settings.address
    server.serve(
        home,
        settings,
        lambda: print_note(_welcome(home, address, report, example, time.monotonic() - started)),
    )


def draft_actions(home: Home) -> None:
    """Write the example actions for a simulated shop that has no actions.toml."""
    if home.shop().source == "simulate" and not home.actions.exists():
        home.actions.write_text(example_actions(), encoding="utf-8")


def _make_ready(home: Home, progress: Progress) -> list[str]:
    """Build the features, and train the models without a usable version if one of every shop is among them.

    Returns:
        The report, in lines.
    """
    from features.catalogue.store import Store
    from features.offline import build
    from models.questions import MODELS, OPTIONAL
    from models.registry.other_models import OTHER_MODELS
    from models.registry.registry import Registry
    from training.every_model import train_all

    registry = Registry(home)
    names = (*MODELS, *OPTIONAL, *OTHER_MODELS)
    usable = {name: versions for name in names if (versions := registry.versions(name))}
    if usable:
        build.build(home, False, progress)
        definitions = Store(home).definitions()
        if any(
            _stale(registry, n, usable[n][0].version, definitions) for n in MODELS | OPTIONAL if n in usable
        ):
            usable = {}
    report = [version_line(next((v for v in vs if v.champion), vs[0])) for vs in usable.values()]
    if MODELS.keys() <= usable.keys():
        return report
    versions, left_out = train_all(home, None, progress, usable)
    if versions:
        audit_training(versions)
    return [*report, *(version_line(v) for v in versions), *left_out.values()]


def _score_once(home: Home, progress: Progress) -> None:
    """Score all customers if no job has done so: sorted lists and the totals of segments need one."""
    from models.questions import MODELS
    from records.score_jobs import ScoreJobStore
    from serving.score_jobs.to_file import score_all

    jobs = ScoreJobStore(home).list_jobs()
    if not any(job.status == "done" and job.segment is None for job in jobs):
        score_all(home, list(MODELS), progress)


def _stale(registry: Any, name: str, version: str, definitions: dict[str, str]) -> bool:
    """Whether a version was trained with other definitions of features than today's."""
    try:
        registry.open(name, version).check_definitions(definitions)
    except PatronError:
        return True
    return False


def _example(home: Home) -> str | None:
    """The id of the customer of the latest order, for the example requests; None without orders."""
    from events import lake
    from events.identity import Identity

    lines = lake.read(home, lake.backend_of(home)).order_lines
    latest = lines.order_by(lines.timestamp.desc()).limit(1).customer_key.to_pyarrow().to_pylist()
    return next(iter(Identity(home).ids(latest).values()), None)


def _welcome(home: Home, address: str, report: list[str], example: str | None, seconds: float) -> str:
    from events import lake
    from models.registry.connection import local_uri

    metadata = lake.metadata(home)
    span = (
        f"{metadata.orders:,} orders from {metadata.first_date} to {metadata.last_date}"
        if metadata.orders
        else "no orders yet"
    )
    return "\n".join(
        [
            "",
            f"Patron is up after {seconds:.0f} s: {address}/console",
            f"  {span} ({metadata.source}) in {home.path}",
            *(f"  {line}" for line in report),
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
    scores = f"  curl -s {address}/v1/scores -H 'content-type: application/json' -d '{body}'"
    url = f"{address}/v1/customers/{quote(example, safe='')}/next-best-actions"
    actions = f"  curl -s {url} -H 'content-type: application/json' -d '{{}}'"
    return ["Try, in another terminal:", scores, *([actions] if home.actions.exists() else [])]
