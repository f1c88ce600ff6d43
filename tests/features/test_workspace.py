"""A workspace parses the settings once and opens the store once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from core.errors import NothingThere
from core.home import Home
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace


def test_a_workspace_opens_the_store_once(built_shop: Home, built: SnapshotSet) -> None:
    workspace = Workspace(built_shop, built)
    assert workspace.store is workspace.store
    assert workspace.shop == built_shop.shop()


def test_settings_are_parsed_again_only_when_their_text_changes(
    shop_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: parsed.append(text) or loads(text))
    text = shop_copy.settings_file.read_text() + "\n# edited by hand\n"
    shop_copy.settings_file.write_text(text)
    before = [shop_copy.shop() for _ in range(3)]
    assert len(parsed) == 1
    shop_copy.settings_file.write_text(text.replace("share = 0.8", "share = 0.7"))
    assert shop_copy.shop().tiers.share == 0.7
    assert {shop.tiers.share for shop in before} == {0.8}
    assert len(parsed) == 2


def test_a_workspace_without_a_shop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="there is no shop"):
        Workspace.build(Home(tmp_path))
