"""The catalogue that the service keeps: written as TOML, read back the same, changed by version."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NothingThere
from core.home import Home
from core.shop import Clock, Shop
from decisions.catalogue.file import load
from decisions.catalogue.own_file import (
    MARK,
    ForeignCatalogue,
    InvalidCatalogue,
    StaleCatalogue,
    change,
    toml_text,
    with_action,
    without_action,
)

CALL = {"channel": "phone", "cost": 6, "effect": {"on": "churn", "times": 0.85}, "rule": "orders_total > 3"}
WHOLE = {
    "margin": 0.4,
    "control_share": 0.1,
    "exploration_share": 0.05,
    "actions": [{"name": "call", **CALL}],
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    return home


def test_a_catalogue_is_made_changed_and_emptied_only_by_its_version(home: Home) -> None:
    first = change(home, lambda _: WHOLE, None)
    assert load(home) == first
    assert home.actions.read_text().startswith(MARK)
    with pytest.raises(StaleCatalogue, match=f"is the version {first.digest}"):
        change(home, lambda _: WHOLE, None)
    mail = CALL | {
        "channel": "email",
        "text": {"zh": '“九折”\\n"'},
        "start": "2026-12-01",
        "group": None,
        "label": {"zh": "九折"},
    }
    second = change(home, lambda table: with_action(table, "mail", mail), first.digest)
    assert [action.name for action in second.actions] == ["call", "mail"]
    assert second.actions[1].text == {"zh": '“九折”\\n"'}
    assert load(home).digest == second.digest
    with pytest.raises(StaleCatalogue):
        change(home, lambda table: without_action(table, "mail"), first.digest)
    with pytest.raises(NothingThere):
        change(home, lambda table: without_action(table, "post"), second.digest)
    with pytest.raises(InvalidCatalogue, match="there is no action"):
        change(home, lambda table: table | {"actions": []}, second.digest)
    with pytest.raises(InvalidCatalogue, match="action mail: cost: this is missing"):
        change(home, lambda table: with_action(table, "mail", {"channel": "email"}), second.digest)
    with pytest.raises(InvalidCatalogue, match="no valid Unicode"):
        change(home, lambda table: with_action(table, "mail", mail | {"goal": "\ud83d"}), second.digest)
    assert load(home).digest == second.digest
    third = change(home, lambda table: without_action(table, "mail"), second.digest)
    assert third.digest == first.digest


def test_a_file_written_by_hand_stays_the_source(home: Home) -> None:
    home.actions.write_text("# mine\n" + toml_text(WHOLE).removeprefix(MARK))
    before = home.actions.read_bytes()
    with pytest.raises(ForeignCatalogue, match="was written by hand"):
        change(home, lambda _: WHOLE, load(home).digest)
    assert home.actions.read_bytes() == before


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXT, st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e300, 1e300)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(TEXT.filter(lambda key: key != "actions"), VALUES, max_size=4), st.lists(
    st.dictionaries(TEXT, VALUES, max_size=3), max_size=2))  # fmt: skip
def test_any_content_is_read_back_as_it_was_written(table: dict[str, Any], actions: list[Any]) -> None:
    content = table | ({"actions": actions} if actions else {})
    assert tomllib.loads(toml_text(content)) == content
