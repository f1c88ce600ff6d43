"""One process of a service downloads a version's files for all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import StoreUnavailable
from models.registry.registry_state import SHARED, Exchange, VersionFiles


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    monkeypatch.setenv(SHARED, str(tmp_path / "registry.json"))
    files = Exchange.of_service()
    assert files is not None
    return files


def test_a_process_of_its_own_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED, raising=False)
    assert Exchange.of_service() is None


def test_a_version_is_downloaded_once(shared: Exchange) -> None:
    downloads, barrier = [], threading.Barrier(8)

    def download() -> VersionFiles:
        downloads.append(1)
        return {"manifest.json": b"{}", "trees.lgb": b"tree"}, "abc"

    def get(_: int) -> VersionFiles:
        barrier.wait()
        return shared.get("clv", "3", download)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(get, range(8)))
    assert results == [({"manifest.json": b"{}", "trees.lgb": b"tree"}, "abc")] * 8
    assert len(downloads) == 1


def test_a_failed_download_is_tried_again(shared: Exchange) -> None:
    def fail() -> VersionFiles:
        raise StoreUnavailable("MLflow is gone")

    with pytest.raises(StoreUnavailable):
        shared.get("clv", "1", fail)
    assert shared.get("clv", "1", lambda: ({"a": b"1"}, "d")) == ({"a": b"1"}, "d")


def test_the_newest_two_versions_stay_and_a_draft_is_replaced(shared: Exchange, tmp_path: Path) -> None:
    draft = tmp_path / "versions" / "clv" / "draft"
    draft.mkdir(parents=True)
    (draft / "half").write_text("of a killed process")
    for version in ("1", "2", "3"):
        assert shared.get("clv", version, lambda v=version: ({"a": v.encode()}, v)) == (  # type: ignore[misc]
            {"a": version.encode()},
            version,
        )
    assert sorted(path.name for path in draft.parent.iterdir()) == ["2", "3"]
