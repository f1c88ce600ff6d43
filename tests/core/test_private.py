"""A home is its owner's: what Patron creates is private, and what an earlier one created becomes so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import files, private
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from serving.operations.checks import Check
from serving.operations.privacy import privacy


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The umask of most machines, under which new files are readable by all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def widen(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_draft_is_private_before_anything_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("wide")
    with files.replacing(path) as draft:
        assert (mode(draft), draft.read_bytes()) == (0o600, b"")
        draft.write_text("private")
    assert (mode(path), path.read_text()) == (0o600, "private")
    assert [*tmp_path.iterdir()] == [path]


def test_a_new_home_is_private_whatever_the_umask(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    Database(home).prepare()
    assert mode(home.path) == 0o700
    assert mode(home.settings_file) == 0o600
    assert {mode(path) for path in home.path.glob("patron.db*")} == {0o600}


def test_a_wide_home_is_reported_and_becomes_private_at_the_next_command(
    shop_copy: Home, run_patron: Callable[..., tuple[int, str, str]]
) -> None:
    home, others = shop_copy, shop_copy.path / "notes-of-the-owner.txt"
    others.write_text("not Patron's")
    widen(home.path)

    def check() -> Check:
        (result,) = privacy(home)
        return result

    assert check().state == "warning"
    run_patron(home, "doctor")
    assert check().state == "warning"
    assert f"chmod -R go= {home.path}" in check().advice
    code, _, error = run_patron(home, "keys", "list")
    assert code == 0, error
    assert check().state == "ok"
    assert mode(home.path) == 0o700
    assert [path for path in home.path.rglob("*") if mode(path) & 0o077] == [others]


def test_permissions_of_the_owner_and_links_stay(tmp_path: Path) -> None:
    home, elsewhere = Home(tmp_path / "home"), tmp_path / "elsewhere"
    elsewhere.write_text("of another program")
    elsewhere.chmod(0o644)
    home.events.mkdir(parents=True)
    (home.events / "link").symlink_to(elsewhere)
    (home.events / "read-only").touch(0o444)
    private.tighten(home)
    assert mode(elsewhere) == 0o644
    assert mode(home.events / "read-only") == 0o400
    assert [*private.open_paths(home)] == []
