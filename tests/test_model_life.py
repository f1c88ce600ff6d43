"""A model's life: versions compared, promoted and taken back on the record, described, and advised on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import patron
from features import snapshots
from features.home import Home
from features.store import Store
from models.catalogue import MODELS
from models.registry import Registry
from models.spec import Gate
from models.versions import PROMOTED, ROLLED_BACK, Move, earlier
from training.pipeline import train

propensity = MODELS["propensity"]
SHUT = Gate("auc", "nothing is perfect", at_least=1.01)


class Ran:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def refused(self) -> str:
        assert (self.code, self.out) == (1, "")
        (line,) = self.err.splitlines()
        assert "unexpected" not in line
        return line

    def done(self, code: int = 0) -> Any:
        assert (self.code, self.err) == (code, "")
        return json.loads(self.out)


Command = Callable[..., Ran]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: (home, *words)."""
    monkeypatch.setenv("PATRON_USER", "ada")

    def run(home: Home, *words: str) -> Ran:
        monkeypatch.setenv("PATRON_HOME", str(home.path))
        monkeypatch.setattr(sys, "argv", ["patron", *words])
        capsys.readouterr()
        code = patron.main()
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def three_versions(
    trained_shop: Home, built: snapshots.Built, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """The trained shop with two more versions of propensity: of fewer features, and with a gate shut."""
    home: Home = copy_trained(trained_shop, tmp_path_factory.mktemp("versions") / "home")
    store, registry = Store(home), Registry(home)
    poorer = replace(propensity, features=propensity.features[:6])
    train(home, poorer, built, store, registry)
    train(home, replace(poorer, gates=(SHUT,)), built, store, registry)
    return home


@pytest.fixture
def versions(three_versions: Home, copy_home: Callable[[Home], Home]) -> Home:
    """Three versions of propensity (2 answers, 3 was refused), for a test to change."""
    return copy_home(three_versions)


def champion(home: Home) -> str:
    return Registry(home).champion("propensity").version


# Promotion and its record


def test_training_promotes_on_the_record(versions: Home, command: Command) -> None:
    moves = command(versions, "models", "propensity", "--json").done()["models"]["propensity"]["moves"]
    assert [(m["who"], m["before"], m["after"], m["how"], m["forced"]) for m in moves] == [
        ("training", None, "1", PROMOTED, False), ("training", "1", "2", PROMOTED, False),
    ]  # fmt: skip
    assert {m["when"] for m in moves} == {"2024-07-01T09:30:00Z"}


def test_promotion_and_rollback_move_the_champion_and_say_who_when_why(
    versions: Home, command: Command
) -> None:
    ran = command(versions, "promote", "propensity", "1", "--why", "it knows more")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("propensity version 1 answers from now on in place of version 2; recorded for")
    assert champion(versions) == "1"
    move = command(versions, "rollback", "propensity", "--why", "a slip", "--json").done()["promoted"]
    assert move == {
        "when": "2024-07-01T09:30:00Z", "who": "ada", "why": "a slip",
        "before": "1", "after": "2", "how": ROLLED_BACK, "forced": False,
    }  # fmt: skip
    assert champion(versions) == "2"
    # A second rollback goes one promotion further back, and the third finds none.
    assert command(versions, "rollback", "propensity", "--why", "still", "--json").done()
    assert champion(versions) == "1"
    said = command(versions, "rollback", "propensity", "--why", "more").refused()
    assert "propensity cannot go back: only version 1 was ever promoted" in said
    listed = command(versions, "models", "propensity", "--json").done()["models"]["propensity"]
    assert [m["why"] for m in listed["moves"]][-3:] == ["it knows more", "a slip", "still"]
    assert [v["champion"] for v in listed["versions"]] == [False, False, True]
    registry = Registry(versions)
    with registry._speaking():
        tag = registry._client.get_model_version("propensity", "1").tags["move"]
    assert json.loads(tag)["why"] == "still"


def test_a_version_whose_gates_stayed_shut_is_promoted_only_by_force_which_is_recorded(
    versions: Home, command: Command
) -> None:
    words = ("promote", "propensity", "3", "--why", "we must")
    ran = command(versions, *words)
    assert (ran.code, ran.err) == (3, "")
    assert "did not pass its gates: auc is" in ran.out
    assert "nothing is perfect" in ran.out
    assert command(versions, *words, "--json").done(3)["promoted"] is None
    assert champion(versions) == "2"
    assert len(Registry(versions).moves("propensity")) == 2
    assert command(versions, *words, "--force", "--json").done()["promoted"]["forced"] is True
    assert champion(versions) == "3"
    said = command(versions, "models", "propensity").out
    assert "promoted, against its gates, by ada: we must" in said
    assert said.startswith("* propensity    3  2024-07-01  auc 0.")
    command(versions, "rollback", "propensity", "--why", "no")
    forced = command(versions, "promote", "propensity", "1", "--why", "w", "--force", "--json").done()
    assert forced["promoted"]["forced"] is False  # there was nothing to force


def test_what_cannot_be_promoted_is_said_in_a_line(
    versions: Home, built_shop: Home, tmp_path: Path, copy_home: Any, command: Command
) -> None:
    def why(*words: str, reason: str = "because") -> str:
        return command(versions, *words, "--why", reason).refused()

    assert "propensity has no version '7'; there are 1, 2, 3" in why("promote", "propensity", "7")
    assert "no version 'x'" in why("promote", "propensity", "x")
    assert "no model 'chrun'" in why("promote", "chrun", "1")
    assert "no model 'all'" in why("rollback", "all")
    assert "version 2 is the champion already" in why("promote", "propensity", "2")
    assert "say why" in why("promote", "propensity", "1", reason="  ")
    assert "1,000 are the most" in why("rollback", "propensity", reason="x" * 1001)
    assert "clv cannot go back: only version 1 was ever promoted" in why("rollback", "clv")
    assert len(Registry(versions).moves("propensity")) == 2
    for words in (("promote", "propensity", "1"), ("rollback", "propensity")):
        assert command(versions, *words).code == 2
        assert "there is no shop" in command(Home(tmp_path / "no"), *words, "--why", "w").refused()
    assert not (tmp_path / "no").exists()


def test_without_versions_lists_are_empty_and_nothing_can_be_moved(shop_copy: Home, command: Command) -> None:
    listed = command(shop_copy, "models", "--json").done()["models"]
    assert listed == {name: {"versions": [], "moves": []} for name in MODELS}
    assert "churn was never trained; run `patron train churn`" in command(shop_copy, "models").out
    for words in (("promote", "clv", "1"), ("rollback", "clv")):
        assert "clv has no versions" in command(shop_copy, *words, "--why", "w").refused()


def test_going_back_passes_over_versions_that_are_gone_and_alias_moves_by_others() -> None:
    def moves(*steps: tuple[str | None, str, str]) -> list[Move]:
        return [Move("", "", "", before, after, how) for before, after, how in steps]

    there = {"1", "2", "3"}
    three = moves((None, "1", PROMOTED), ("1", "2", PROMOTED), ("2", "3", PROMOTED))
    assert earlier(three, "3", there) == "2"
    assert earlier(three, "3", {"1", "3"}) == "1"
    assert earlier(three, "3", {"3"}) is None
    assert earlier(three, "1", there) == "3"  # somebody moved the alias past the record
    assert earlier([], "1", there) is None
    assert earlier([], None, there) is None
    assert earlier(moves(("1", "2", PROMOTED)), "2", there) == "1"  # promoted before moves were recorded
    to_and_fro = [*three, *moves(("3", "1", PROMOTED), ("1", "3", ROLLED_BACK))]
    assert earlier(to_and_fro, "3", there) == "2"
