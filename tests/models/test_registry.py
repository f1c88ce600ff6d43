"""The registry with a real MLflow: versions, champions, and reasons for having none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import servers
from core import home_id
from core.errors import NothingThere, PatronError
from core.home import Home
from core.home_id import AnotherHome
from models.registry.bundle import MANIFEST
from models.registry.registry import NoChampion, Registry, TrainingRun
from models.registry.settings import ModelSettings

SmallBundle = Callable[[str], dict[str, bytes]]
Publish = Callable[..., str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose MLflow has its tables, and nothing in them."""
    home = Home(tmp_path_factory.mktemp("registry") / "home")
    Registry(home).versions("churn")
    return home


@pytest.fixture
def registry(template: Home, tmp_path: Path) -> Registry:
    """A registry in which nothing was ever published."""
    return Registry(Home(Path(shutil.copytree(template.path, tmp_path / "home"))))


@pytest.fixture
def publish(small_bundle: SmallBundle) -> Publish:
    """A function that publishes a small model and returns its version."""

    def run(
        registry: Registry,
        name: str = "churn",
        failed_gates: tuple[str, ...] = (),
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        run = TrainingRun({}, metrics or {}, {})
        return registry.publish(name, small_bundle(name), run, failed_gates).version

    return run


def test_versions_are_counted_by_model_and_the_newest_comes_first(
    registry: Registry, publish: Publish
) -> None:
    assert registry.versions("churn") == []
    for i in range(11):
        assert publish(registry, metrics={"auc": i / 100}) == str(i + 1)
    assert publish(registry, "clv") == "1"
    result = registry.versions("churn")
    assert [v.version for v in result] == [str(i) for i in range(11, 0, -1)]
    assert [v.metrics["auc"] for v in result] == [i / 100 for i in range(10, -1, -1)]
    assert not any(v.champion or v.failed_gates for v in result)
    assert [(v.name, v.version) for v in registry.versions("clv")] == [("clv", "1")]


def test_only_the_promoted_version_is_champion_also_after_a_promotion_back(
    registry: Registry, publish: Publish
) -> None:
    first, second = publish(registry), publish(registry)
    for promoted in (first, second, first):
        registry.promote("churn", promoted, "a test", "to see")
        assert [v.version for v in registry.versions("churn") if v.champion] == [promoted]
        champion = registry.champion("churn")
        assert (champion.name, champion.version) == ("churn", promoted)
    publish(registry, failed_gates=("auc is 0.4 and must be at least 0.6: why",))
    assert registry.champion("churn").version == first  # a refused one does not push the champion out
    again = Registry(registry.home)
    assert again.champion("churn").score({"orders_30d": [1]}) == champion.score({"orders_30d": [1]})


def test_the_published_digest_is_that_of_the_opened_files(
    registry: Registry, publish: Publish, small_bundle: SmallBundle
) -> None:
    opened = registry.open("churn", publish(registry))
    assert opened.manifest == json.loads(small_bundle("churn")[MANIFEST])
    assert opened.features == ("orders_30d",)


def test_a_model_that_was_never_trained_has_that_as_the_reason(registry: Registry) -> None:
    with pytest.raises(
        NoChampion, match=r"churn has no champion: it was never trained; .*`patron train churn`"
    ):
        registry.champion("churn")
    assert issubclass(NoChampion, NothingThere)


def test_failed_gates_are_the_reason_for_having_no_champion(registry: Registry, publish: Publish) -> None:
    publish(registry)
    refusals = ("auc is 0.4 and must be at least 0.6: it must tell", "brier is 1 and must be at most 0: so")
    publish(registry, failed_gates=refusals)
    with pytest.raises(NoChampion) as refused:
        registry.champion("churn")
    assert str(refused.value) == (
        f"churn has no champion: version 2 did not pass its gates: {refusals[0]}; {refusals[1]}"
    )
    assert registry.versions("churn")[0].failed_gates == ("; ".join(refusals),)


def test_a_version_that_passed_but_was_not_promoted_is_no_champion(
    registry: Registry, publish: Publish
) -> None:
    publish(registry)
    with pytest.raises(NoChampion, match=r"churn has no champion: no version is promoted"):
        registry.champion("churn")


def folder_of(registry: Registry) -> Path:
    """The folder of the only version's bundle."""
    (trees,) = registry.home.mlflow.rglob("trees.lgb")
    return trees.parent


def test_a_missing_artifact_folder_is_a_readable_error(registry: Registry, publish: Publish) -> None:
    registry.promote("churn", publish(registry), "a test", "to see")
    shutil.rmtree(folder_of(registry))
    with pytest.raises(
        PatronError, match=r"the files of churn version 1 cannot be read .*`patron train churn`"
    ):
        registry.champion("churn")


@pytest.mark.parametrize("name", ["trees.lgb", "parameters.json", "reference.json", MANIFEST])
def test_a_damaged_artifact_is_refused_with_its_name(name: str, registry: Registry, publish: Publish) -> None:
    registry.promote("churn", publish(registry), "a test", "to see")
    path = folder_of(registry) / name
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(PatronError, match=rf"version 1 is refused: {name} is missing or not as it was"):
        registry.champion("churn")
    path.unlink()
    with pytest.raises(PatronError, match=rf"version 1 is refused: {name} is missing"):
        registry.champion("churn")


@pytest.mark.parametrize("content", [b"not a database " * 1000, b""], ids=["garbage", "empty"])
def test_damaged_tables_are_a_readable_error(content: bytes, template: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_bytes(content)
    if not content:  # an empty file is an SQLite database without tables, which MLflow makes
        assert Registry(home).versions("churn") == []
        return
    with pytest.raises(PatronError, match=r"mlflow\.db"):
        Registry(home).champion("churn")


def test_a_server_that_is_named_is_used_in_place_of_the_homes_own(template: Home, tmp_path: Path) -> None:
    shared = f"sqlite:///{template.mlflow / 'mlflow.db'}"
    home = Home(tmp_path / "other")
    assert Registry(home, ModelSettings(mlflow_uri=shared)).mlflow.uri == shared
    assert Registry(home, ModelSettings(mlflow_uri=shared)).versions("churn") == []
    assert not (home.mlflow / "mlflow.db").exists()


def test_a_home_that_was_moved_keeps_its_models_and_can_train_more(
    trained_shop: Home, copy_trained: Any, tmp_path: Path, publish: Publish
) -> None:
    moved: Home = copy_trained(trained_shop, tmp_path / "elsewhere")
    registry = Registry(moved)
    before = Registry(trained_shop).champion("churn")
    assert registry.champion("churn").manifest == before.manifest
    assert registry.open("churn", publish(registry)).name == "churn"
    shutil.rmtree(moved.mlflow / "artifacts")
    assert before.manifest == Registry(trained_shop).champion("churn").manifest
    with pytest.raises(PatronError, match="cannot be read"):
        registry.champion("churn")


# A server, as several machines share it


@pytest.mark.slow
def test_a_server_on_postgresql_keeps_versions_and_their_files(
    postgres_address: str, tmp_path: Path, publish: Publish
) -> None:
    backend = postgres_address.replace("postgresql://", "postgresql+psycopg://")
    with servers.running({"mlflow": servers.mlflow(tmp_path, backend)}, {}, tmp_path) as started:
        address = f"http://{servers.HOST}:{started['mlflow'].port}"
        one, other, of_another_home = (
            Registry(Home(tmp_path / name), ModelSettings(mlflow_uri=address))
            for name in ("one", "one", "other")
        )
        assert publish(one, metrics={"auc": 0.75}) == "1"
        assert publish(one, metrics={"auc": 0.8}) == "2"
        with pytest.raises(NoChampion):
            other.champion("churn")
        one.promote("churn", "2", "ann", "better")
        assert [(v.version, v.champion, v.metrics["auc"]) for v in other.versions("churn")] == [
            ("2", True, 0.8), ("1", False, 0.75),
        ]  # fmt: skip
        assert other.champion("churn").version == "2"
        assert [move.who for move in other.promotions("churn")] == ["ann"]
        home_id.write(Home(tmp_path / "other"), home_id.new())
        with pytest.raises(AnotherHome, match=r"MLflow at http://.* belongs to another home .* nothing was"):
            publish(of_another_home)
        with pytest.raises(AnotherHome):
            of_another_home.champion("churn")
        assert len(one.versions("churn")) == 2
    # The home holds nothing of it.
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["home.id"]
    with pytest.raises(PatronError, match=f"MLflow at {address} cannot be reached"):
        one.versions("churn")
