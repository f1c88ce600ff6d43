"""Copying the models of a home from an MLflow server into a folder, through MLflow's client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry.connection import EXPERIMENT, MlflowConnection
from models.registry.copies.description import (  # fmt: skip
    FILE,
    RUNS,
    StoredMetric,
    StoredModel,
    StoredModels,
    StoredRun,
    StoredVersion,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 1000
_ALL_RUNS = 3  # MLflow's ViewType.ALL: a version's run may have been deleted


def export(mlflow: MlflowConnection, folder: Path) -> StoredModels:
    """Write the description of the home's models and the artifacts of their versions' runs into a folder.

    Models of other programs on the server, and runs without a version, such as trials of searches, are left
    out. Without models nothing is written.

    Raises:
        StoreUnavailable: the server cannot be reached.
        PatronError: the server belongs to another home, or refuses a request.
    """
    with mlflow.errors():
        stored = _home_models(mlflow.client)
        for run_id in stored.runs:
            artifacts = folder / RUNS / run_id
            artifacts.mkdir(parents=True, mode=0o700)
            mlflow.client.download_artifacts(run_id, "", str(artifacts))
    if stored.models:
        (folder / FILE).write_text(stored.to_json())
    return stored


def registered(client: MlflowClient) -> list[StoredModel]:
    """All registered models of a server.

    The versions are read after the models, so that there is one for each alias.
    """
    models = list(_pages(lambda token: client.search_registered_models(max_results=_PAGE, page_token=token)))
    versions: defaultdict[str, list[StoredVersion]] = defaultdict(list)
    for version in _pages(lambda token: client.search_model_versions(max_results=_PAGE, page_token=token)):
        versions[version.name].append(
            StoredVersion(
                int(version.version), version.run_id or "", version.source or "", version.description or "",
                dict(version.tags),
            )
        )  # fmt: skip
    return [
        StoredModel(
            model.name,
            model.description or "",
            dict(model.tags),
            {alias: int(version) for alias, version in model.aliases.items()},
            tuple(sorted(versions[model.name], key=lambda version: version.version)),
        )
        for model in models
    ]


def _home_models(client: MlflowClient) -> StoredModels:
    """The models with versions of runs of the home's experiment, and those runs."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return StoredModels((), {})
    models = registered(client)
    ids = [experiment.experiment_id]
    runs = {
        run.info.run_id: _run(run)
        for run in _pages(
            lambda token: client.search_runs(
                ids, run_view_type=_ALL_RUNS, max_results=_PAGE, page_token=token
            )
        )
    }
    own = tuple(model for model in (_only(model, runs) for model in models) if model.versions)
    used = sorted({version.run_id for model in own for version in model.versions})
    return StoredModels(own, {run_id: runs[run_id] for run_id in used})


def _only(model: StoredModel, runs: dict[str, StoredRun]) -> StoredModel:
    """A model with those of its versions that have one of these runs."""
    versions = tuple(version for version in model.versions if version.run_id in runs)
    numbers = {version.version for version in versions}
    aliases = {alias: version for alias, version in model.aliases.items() if version in numbers}
    return replace(model, versions=versions, aliases=aliases)


def _run(run: Any) -> StoredRun:
    info, data = run.info, run.data
    metrics = data.to_proto().metrics  # with time and step, other than ``data.metrics``
    return StoredRun(
        info.run_id,
        info.run_name or "",
        info.status,
        info.start_time,
        info.end_time,
        dict(data.tags),
        dict(data.params),
        tuple(StoredMetric(m.key, m.value, m.timestamp, m.step) for m in metrics),
    )


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """All results of a search, which takes the token of a page."""
    token: str | None = None
    while token != "":
        page = search(token)
        yield from page
        token = page.token or ""
