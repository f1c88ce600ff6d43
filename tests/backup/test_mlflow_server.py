"""Backup and restore of the models on an MLflow server, which numbers versions and runs itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backup import create, manifest, parts, restore
from benchmarks.harness import servers
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.home_id import AnotherHome
from events.lake import shops
from models.registry import challenges
from models.registry.connection import EXPERIMENT, HOME_TAG
from models.registry.copies import export
from models.registry.copies.loading import RESTORING_TAG
from models.registry.registry import CHALLENGER, Registry
from models.registry.settings import ModelSettings
from models.registry.versions import ROLLED_BACK, TrainingRun

MODELS = ("churn", "clv")


SmallBundle = Callable[[str], dict[str, bytes]]


@pytest.fixture(scope="module")
def addresses(
    tmp_path_factory: pytest.TempPathFactory, mlflow_tables: Callable[[Path], None]
) -> Iterator[tuple[str, str]]:
    """A server with the models of a home, and an empty one."""
    folder = tmp_path_factory.mktemp("mlflow")
    services = {name: servers.mlflow(folder / name) for name in ("first", "second")}
    for name in services:
        mlflow_tables(folder / name / "mlflow.db")
    with servers.running(services, {}, folder) as started:
        first, second = (f"http://{servers.HOST}:{started[name].port}" for name in services)
        yield first, second


@pytest.fixture(scope="module")
def home(
    addresses: tuple[str, str], small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """A shop whose models are on the first server: churn was rolled back, and one of its versions is gone."""
    home = Home(tmp_path_factory.mktemp("shop") / "home")
    shops.begin_live(home, "UTC", "EUR")
    registry = Registry(home, ModelSettings(mlflow_uri=addresses[0]))
    files = {name: small_bundle(name) for name in MODELS}
    for i in range(4):
        run = TrainingRun(
            {"trees": i}, {"auc": 0.7 + i / 100}, {"as_of": "2024-07-01T00:00:00Z"},
            documents={"card": {"number": i}}, texts={"note.txt": "noted"},
        )  # fmt: skip
        registry.publish("churn", files["churn"], run, ("too poor",) if i == 0 else ())
    registry.publish("clv", files["clv"], TrainingRun({}, {"mae": 3.5}, {}), ())
    client = registry.mlflow.client
    client.delete_model_version("churn", "2")
    client.update_registered_model("churn", "Who leaves?")
    search = registry.runs.begin_search("churn", TrainingRun({}, {}, {}))
    registry.runs.end_search(search, {"auc": 0.7})
    client.create_registered_model("of another program")
    registry.promote("churn", "3", "ann", "better")
    registry.promote("churn", "4", "ann", "better still")
    registry.promote("churn", "3", "bob", "worse after all", ROLLED_BACK)
    challenges.begin(registry, "churn", "probability", "4", 0.2)
    registry.promote("clv", "1", "ann", "the first")
    return home


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """A function that sets the MLflow server for the rest of the test; None for none."""

    def use(address: str | None) -> None:
        if address is None:
            monkeypatch.delenv("PATRON_MLFLOW_URI", raising=False)
        else:
            monkeypatch.setenv("PATRON_MLFLOW_URI", address)

    return use


@pytest.fixture(scope="module")
def backup(home: Home, addresses: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the home."""
    folder = tmp_path_factory.mktemp("backups") / "backup"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATRON_MLFLOW_URI", addresses[0])
        create.create(home, folder)
    return folder


def history(registry: Registry) -> dict[str, Any]:
    """What a registry answers with, without ids of runs and times of the server."""
    client = registry.mlflow.client
    models = {model.name: model for model in export.registered(client)}
    runs = {v.run_id: client.get_run(v.run_id) for name in MODELS for v in models[name].versions}
    return {
        name: {
            "description": models[name].description,
            "tags": models[name].tags,
            "aliases": models[name].aliases,
            "promotions": registry.promotions(name),
            "versions": [(v.version, v.tags, v.description) for v in models[name].versions],
            "runs": [
                (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time)
                for run in (runs[v.run_id] for v in models[name].versions)
            ],
            "data": [runs[v.run_id].data.to_dictionary() for v in models[name].versions],
            "files": [registry.files(name, str(v.version))[0].keys() for v in models[name].versions],
            "notes": [
                sorted(file.path for file in client.list_artifacts(v.run_id)) for v in models[name].versions
            ],
        }
        for name in MODELS
    }  # fmt: skip


def names(address: str) -> list[str]:
    """The registered models of a server."""
    client = Registry(Home(Path("/nonexistent")), ModelSettings(mlflow_uri=address)).mlflow._client
    return sorted(model.name for model in client.search_registered_models())


@pytest.mark.slow
def test_models_and_their_history_are_restored_into_another_server(
    home: Home,
    backup: Path,
    addresses: tuple[str, str],
    use: Callable[[str | None], None],
    run_patron: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(addresses[0])
    registry = Registry(home)
    before = history(registry)
    made = manifest.read(backup)
    assert made.champions == {"churn": "3", "clv": "1"}
    exported = json.loads((backup / parts.MLFLOW_SERVER / "models.json").read_text())
    assert sorted(model["name"] for model in exported["models"]) == ["churn", "clv"]
    assert len(exported["runs"]) == 4  # without the search, and the run of the deleted version
    manifest.verify(backup, made)

    # An error after the models were written removes them again.
    use(addresses[1])
    elsewhere = Home(tmp_path / "elsewhere")
    with monkeypatch.context() as patch:
        patch.setattr(restore, "_exchange", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(PatronError, match="full; it is as before"):
            restore.restore(backup, elsewhere)
    assert names(addresses[1]) == []

    # A killed restore leaves a model with a tag, which the next one replaces.
    client = Registry(Home(tmp_path / "nothing")).mlflow._client
    client.create_registered_model("churn", {RESTORING_TAG: "true"})
    restored = restore.restore(backup, elsewhere)
    assert len(restored.notes) == 1  # every champion is that of the backup
    again = Registry(elsewhere)
    assert history(again) == before
    assert before["churn"]["aliases"] == {"champion": 3, CHALLENGER: 4}
    assert [version for version, *_ in before["churn"]["versions"]] == [1, 3, 4]
    experiment = again.mlflow.client.get_experiment_by_name(EXPERIMENT)
    assert experiment.tags[HOME_TAG] == made.home_id.id
    for name in MODELS:
        model, same = registry.champion(name), again.champion(name)
        x = np.random.default_rng(1).random(size=(50, len(model.columns)))
        assert (model.score_matrix(x) == same.score_matrix(x)).all()
    version = again.versions("churn")[0]
    assert f"run_id: {version.run_id}" in again.files("churn", "4")[0]["MLmodel"].decode()

    # Commands go on with the history, and training with the numbers.
    code, output, _ = run_patron(elsewhere, "models", "churn")
    assert (code, "worse after all" in output) == (0, True)
    run_patron(elsewhere, "promote", "churn", "4", "--why", "again")
    code, output, error = run_patron(elsewhere, "rollback", "churn", "--why", "no")
    assert (code, again.champion_version("churn")) == (0, "3"), error
    files = again.files("churn", "3")[0]
    files.pop("MLmodel")
    assert again.publish("churn", files, TrainingRun({}, {}, {}), ()).version == "5"
    again.promote("churn", "5", "ann", "new")

    # The server has the versions of the backup and a newer one: nothing is written.
    count = len(again.promotions("churn"))
    restored = restore.restore(backup, elsewhere, replacing=True)
    assert any(
        "churn: the champion was version 3 at the backup, and is version 5" in n for n in restored.notes
    )
    assert len(again.promotions("churn")) == count
    assert len(again.versions("churn")) == 4

    # A server with another version under a number, or of another home, is refused.
    again.mlflow.client.set_model_version_tag("churn", "4", "bundle_digest", "another")
    with pytest.raises(PatronError, match=r"without version 4 of the backup, or another version.*nothing"):
        restore.restore(backup, Home(tmp_path / "third"))
    again.mlflow.client.set_experiment_tag(experiment.experiment_id, HOME_TAG, "f00d" * 8)
    with pytest.raises(AnotherHome, match="belongs to another home"):
        restore.restore(backup, Home(tmp_path / "third"))
    assert not (tmp_path / "third").exists()


def test_a_server_that_holds_the_models_already_is_left_as_it_is(
    home: Home, backup: Path, addresses: tuple[str, str], use: Callable[[str | None], None], tmp_path: Path
) -> None:
    use(addresses[0])
    before = history(Registry(home))
    restored = restore.restore(backup, Home(tmp_path / "elsewhere"))
    assert len(restored.notes) == 1
    assert history(Registry(home)) == before


def test_a_server_that_is_lost_or_of_another_kind_is_refused_before_anything_changes(
    home: Home,
    backup: Path,
    use: Callable[[str | None], None],
    addresses: tuple[str, str],
    tmp_path: Path,
    small_bundle: SmallBundle,
) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    use(None)
    with pytest.raises(PatronError, match="are of an MLflow server; set PATRON_MLFLOW_URI"):
        restore.restore(backup, elsewhere)
    local = Home(tmp_path / "home")
    shops.begin_live(local, "UTC", "EUR")
    Registry(local).publish("churn", small_bundle("churn"), TrainingRun({}, {}, {}), ())
    create.create(local, tmp_path / "local")
    use(addresses[1])
    with pytest.raises(PatronError, match="are of a local MLflow; unset PATRON_MLFLOW_URI"):
        restore.restore(tmp_path / "local", elsewhere)
    use(f"http://{servers.HOST}:{servers.free_port()}")
    with pytest.raises(StoreUnavailable, match=r"MLflow at http.*nothing was changed"):
        restore.restore(backup, elsewhere)
    with pytest.raises(StoreUnavailable, match=r"MLflow at http.*nothing was kept"):
        create.create(home, tmp_path / "failed")
    assert not elsewhere.path.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "local"]
