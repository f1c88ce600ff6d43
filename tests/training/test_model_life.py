"""The life of a model: comparison, promotion and rollback on the record, cards, and advice."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import patron
from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from events import lake
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.measures.metrics import auc, paired_bootstrap
from models.questions import MODELS
from models.questions.clv import clv
from models.registry import promotion
from models.registry.registry import Registry
from models.registry.versions import PROMOTED, ROLLED_BACK, Promotion, earlier
from models.spec import Gate
from training.customers.horizon import with_horizon
from training.customers.pipeline import train
from training.evaluation.compare import TestSet, compare
from training.reports.advise import WINDOWS, advise, survival, visits

propensity = MODELS["propensity"]
SHUT = Gate("auc", "nothing is perfect", at_least=1.01)


class Ran:
    """The result of a command."""

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
        output = capsys.readouterr()
        return Ran(code, output.out, output.err)

    return run


@pytest.fixture(scope="module")
def three_versions(
    two_versions: Home, built: SnapshotSet, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """The shop with the second version of propensity as champion, and a third with a failed gate."""
    home: Home = copy_trained(two_versions, tmp_path_factory.mktemp("versions") / "home")
    registry = Registry(home)
    poorer = replace(propensity, features=propensity.features[:6])
    promotion.promote(registry, "propensity", "2", "fewer features are easier to vouch for")
    train(Workspace(home, built), replace(poorer, gates=(SHUT,)), registry)
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
    assert [(m["before"], m["after"], m["how"], m["forced"]) for m in moves] == [
        (None, "1", PROMOTED, False), ("1", "2", PROMOTED, False),
    ]  # fmt: skip
    assert [m["who"] == "training" for m in moves] == [True, False]  # the second was held back
    assert {m["when"] for m in moves} == {"2024-07-01T09:30:00Z"}


def test_promotion_and_rollback_move_the_champion_and_say_who_when_why(
    versions: Home, command: Command
) -> None:
    ran = command(versions, "promote", "propensity", "1", "--why", "it knows more")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("propensity version 1 is the champion in place of version 2; recorded for")
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
    message = command(versions, "rollback", "propensity", "--why", "more").refused()
    assert "propensity cannot go back: only version 1 was ever promoted" in message
    listed = command(versions, "models", "propensity", "--json").done()["models"]["propensity"]
    assert [m["why"] for m in listed["moves"]][-3:] == ["it knows more", "a slip", "still"]
    assert [v["champion"] for v in listed["versions"]] == [False, False, True]
    registry = Registry(versions)
    with registry.mlflow.errors():
        tag = registry.mlflow.client.get_model_version("propensity", "1").tags["move"]
    assert json.loads(tag)["why"] == "still"


def test_a_version_that_failed_its_gates_is_promoted_only_by_force_which_is_recorded(
    versions: Home, command: Command
) -> None:
    words = ("promote", "propensity", "3", "--why", "we must")
    ran = command(versions, *words)
    assert (ran.code, ran.err) == (3, "")
    assert "did not pass its gates: auc is" in ran.out
    assert "nothing is perfect" in ran.out
    assert command(versions, *words, "--json").done(3)["promoted"] is None
    assert champion(versions) == "2"
    assert len(Registry(versions).promotions("propensity")) == 2
    assert command(versions, *words, "--force", "--json").done()["promoted"]["forced"] is True
    assert champion(versions) == "3"
    text_value = command(versions, "models", "propensity").out
    assert "promoted, against its gates, by ada: we must" in text_value
    assert text_value.startswith("* propensity            3  2024-07-01  auc 0.")
    command(versions, "rollback", "propensity", "--why", "no")
    forced = command(versions, "promote", "propensity", "1", "--why", "w", "--force", "--json").done()
    assert forced["promoted"]["forced"] is False  # there was nothing to force


def test_a_refused_promotion_is_a_one_line_error(
    versions: Home, built_shop: Home, tmp_path: Path, copy_home: Any, command: Command
) -> None:
    def why(*words: str, reason: str = "because") -> str:
        return command(versions, *words, "--why", reason).refused()

    assert "propensity has no version '7'; there are 1, 2, 3" in why("promote", "propensity", "7")
    assert "no version 'x'" in why("promote", "propensity", "x")
    assert "no model 'chrun'" in why("promote", "chrun", "1")
    assert "no model 'all'" in why("rollback", "all")
    assert "version 2 is the champion already" in why("promote", "propensity", "2")
    assert "give a reason" in why("promote", "propensity", "1", reason="  ")
    assert "1,000 are the most" in why("rollback", "propensity", reason="x" * 1001)
    assert "clv cannot go back: only version 1 was ever promoted" in why("rollback", "clv")
    assert len(Registry(versions).promotions("propensity")) == 2
    for words in (("promote", "propensity", "1"), ("rollback", "propensity")):
        assert command(versions, *words).code == 2
        assert "there is no shop" in command(Home(tmp_path / "no"), *words, "--why", "w").refused()
    assert not (tmp_path / "no").exists()


def test_without_versions_lists_are_empty_and_nothing_can_be_moved(shop_copy: Home, command: Command) -> None:
    listed = command(shop_copy, "models", "--json").done()["models"]
    assert listed == {name: {"versions": [], "moves": [], "challenge": None} for name in MODELS}
    assert "churn was never trained; run `patron train churn`" in command(shop_copy, "models").out
    for words in (("promote", "clv", "1"), ("rollback", "clv")):
        assert "clv has no versions" in command(shop_copy, *words, "--why", "w").refused()
    assert "clv has no versions" in command(shop_copy, "compare", "clv").refused()


def test_rollback_skips_deleted_versions_and_alias_moves_by_others() -> None:
    def moves(*steps: tuple[str | None, str, str]) -> list[Promotion]:
        return [Promotion("", "", "", before, after, how) for before, after, how in steps]

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


# Versions compared


def invented(seed: int, noise: float = 1.0) -> TestSet:
    """An exam of 800 customers in two countries whose outcome the first scorer knows best."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=800)
    frame = pd.DataFrame(
        {
            "customer_key": np.arange(800),
            "label": (truth + rng.normal(size=800) > 0).astype(np.float64),
            "known_days": np.where(np.arange(800) < 30, 10, 500),
            "recency_days": np.where(np.arange(800) % 2, 20, 400),
            "country": np.where(np.arange(800) % 4, "Norway", "Malta"),
        }
    )
    frame.loc[5:60, "country"] = None
    scores = {"ours": truth, "theirs": truth + noise * rng.normal(size=800), "same": truth}
    return TestSet(f"2024-0{seed}-01", (), frame, scores)


def test_a_comparison_gives_the_measure_the_difference_and_its_interval_by_origin_and_slice() -> None:
    exams = [invented(1), invented(2)]
    result = compare("probability", exams, "ours", "theirs")
    assert result is not None
    by_hand = [auc(e.frame["label"].to_numpy(), e.scores["ours"]) for e in exams]
    assert result.all.scores["ours"] == pytest.approx(np.mean(by_hand))
    over = result.all.over["theirs"]
    assert over.mean == pytest.approx(result.all.scores["ours"] - result.all.scores["theirs"])
    assert 0 < over.low < over.mean < over.high
    assert result.verdict == "Ours ranks significantly better than theirs."
    same = result.all.over["same"]
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert [row.of for row in result.by_origin] == ["2024-01-01", "2024-02-01"]
    assert [row.scores["ours"] for row in result.by_origin] == by_hand
    sizes = {row.of: row.customers for row in result.by_slice}
    assert sizes["known for under a year"] == 30
    assert sizes["last order 0 to 30 days ago"] == sizes["last order over 365 days ago"] == 400
    places = [sizes["country Norway"], sizes["country Malta"], sizes["country any other, or not known"]]
    assert sum(places) == 800
    few = next(row for row in result.by_slice if row.of == "known for under a year")
    assert (few.scores, few.over) == ({}, {})  # too few outcomes to rank
    turned = compare("probability", exams, "theirs", None)
    assert turned is not None
    assert turned.rival in {"ours", "same"}
    assert turned.verdict.startswith("Theirs ranks significantly worse than ")


def test_resampling_the_same_customers_at_all_origins_widens_the_interval() -> None:
    exam = invented(1)
    y, ours, theirs = exam.frame["label"].to_numpy(), exam.scores["ours"], exam.scores["theirs"]
    keys = exam.frame["customer_key"].to_numpy()
    apart = paired_bootstrap([(y, ours, theirs)] * 3, auc, 200)
    alike = paired_bootstrap([(y, ours, theirs)] * 3, auc, 200, customers=[keys] * 3)
    assert alike[0] == apart[0]
    assert (alike[2] - alike[1]) / (apart[2] - apart[1]) == pytest.approx(np.sqrt(3), rel=0.25)


def test_the_newest_version_is_compared_with_the_champion_and_seen_outcomes_are_reported(
    versions: Home, command: Command
) -> None:
    done = command(versions, "compare", "propensity", "--json").done()
    assert (done["version"], done["against"], done["measure"]) == ("3", "2", "auc")
    assert (done["seen"], done["horizon_days"]) == (True, 30)
    assert done["seen"] is True
    assert list(done["seen_by"].values()) == [["version 3", "version 2"]] * 3
    assert list(done["seen_by"]) == ["2024-04-01", "2024-05-01", "2024-06-01"]
    assert set(done["all"]["scores"]) == {"version 3", "version 2", "recency", "frequency"}
    # Both were fitted alike: the same customers, the same scores.
    assert set(done["all"]["over"]["version 2"].values()) == {0.0}
    assert done["all"]["over"]["recency"]["mean"] > 0
    assert done["verdict"] == (
        "On outcomes that were seen, between version 3 and version 2 there is no significant difference."
    )
    assert {row["of"] for row in done["by_origin"]} == set(done["seen_by"])
    assert len(done["by_slice"]) >= 5
    assert [(m["before"], m["after"]) for m in done["moves"]] == [("1", "2")]
    text_value = command(versions, "compare", "propensity", "--version", "2")
    assert text_value.code == 0
    assert "Seen: origins are before version 1 and version 2 was trained" in text_value.out
    assert "version 2 less version 1" in text_value.out
    assert "promoted by training: passed its gates" in text_value.out


@pytest.mark.slow
def test_only_origins_after_both_versions_were_trained_are_used_if_there_are_any(
    versions: Home, command: Command
) -> None:
    shop, registry = versions.shop(), Registry(versions)
    march = datetime(2024, 3, 10, tzinfo=UTC)
    versions.write_shop(replace(shop, clock=Clock(march)))
    then = snapshots.build(versions)
    train(Workspace(versions, then), propensity, registry)
    train(Workspace(versions, then), replace(propensity, features=propensity.features[:6]), registry)
    versions.write_shop(shop)
    done = command(versions, "compare", "propensity", "--against", "4", "--json").done()
    assert (done["version"], done["against"], done["seen"]) == ("5", "4", False)
    assert done["seen_by"] == {"2024-04-01": [], "2024-05-01": [], "2024-06-01": []}
    assert "new to them" in done["note"]
    over = done["all"]["over"]["version 4"]
    assert over["low"] <= over["mean"] <= over["high"]
    assert over["low"] < over["high"]
    mixed = command(versions, "compare", "propensity", "--against", "1", "--json").done()
    assert mixed["seen"] is True
    assert set(map(tuple, mixed["seen_by"].values())) == {("version 1",)}


def test_a_first_version_is_compared_with_the_baselines(trained_copy: Home, command: Command) -> None:
    done = command(trained_copy, "compare", "clv", "--json").done()
    assert (done["version"], done["against"], done["measure"]) == ("1", None, "gini")
    scores = done["all"]["scores"]
    assert set(scores) == {"version 1", *(baseline.name for baseline in clv.baselines)}
    assert done["rival"] == max(scores.keys() - {"version 1"}, key=lambda name: scores[name])


def test_a_refused_comparison_is_a_one_line_error(
    versions: Home, built: SnapshotSet, tmp_path: Path, command: Command
) -> None:
    def why(*words: str) -> str:
        return command(versions, "compare", *words).refused()

    assert "propensity has no version '9'; there are 1, 2, 3" in why("propensity", "--version", "9")
    assert "no version '9'" in why("propensity", "--against", "9")
    assert "cannot be compared with itself" in why("propensity", "--against", "3")
    assert "no model 'all'" in why("all")
    train(Workspace(versions, built), with_horizon(propensity, 60), Registry(versions))
    promotion.promote(Registry(versions), "propensity", "2", "30 days are what the shop asks for", force=True)
    assert "looks 60 days ahead and version 1 30" in why("propensity", "--against", "1")
    alone = command(versions, "compare", "propensity", "--json").done()
    assert (alone["version"], alone["against"], alone["horizon_days"]) == ("2", None, 30)
    assert alone["note"].endswith("Version 4 has another horizon, so is not compared.")
    assert "there is no shop" in command(Home(tmp_path / "no"), "compare", "churn").refused()


# Advice on churn's window


def test_open_silences_are_censored_at_the_end_of_observation() -> None:
    # Of four gaps one ends after 1 day; one is open since day 2; of the two left one ends after 3 days.
    alive = survival(np.array([1, 2, 3, 4]), np.array([True, False, True, False]))
    assert alive.tolist() == pytest.approx([1, 3 / 4, 3 / 4, 3 / 8, 3 / 8])


def test_the_advised_window_is_the_shortest_after_which_few_customers_return() -> None:
    rows = []
    for customer in range(400):  # everybody orders each 40 days; one in ten once pauses for 200 days
        days = list(range(customer % 40, 1600, 40)) if customer % 10 else [0, 200, 240]
        rows += [(customer, d, n) for d, n in zip(days, [*days[1:], None], strict=True)]
    table = advise(pd.DataFrame(rows, columns=["customer_key", "day", "next_day"]), 1600)
    by_days = {w.days: w for w in table.windows}
    assert list(by_days) == list(WINDOWS)
    assert by_days[30].come_back == pytest.approx(1, abs=0.01)
    assert by_days[60].come_back == pytest.approx(0.5)  # 40 silences end on day 200, and 40 never
    assert by_days[180].come_back == pytest.approx(0.5)
    assert (by_days[240].silences, by_days[240].come_back) == (40, None)
    assert by_days[60].population == 360
    assert by_days[60].churn_rate == 0
    assert table.window is None
    assert "may well return" in table.words
    lost = pd.DataFrame({"customer_key": range(200), "day": 0, "next_day": [20.0] * 100 + [None] * 100})
    gone = advise(lost, 1000)
    assert gone.window == 30
    assert "--horizon 30" in gone.words
    with pytest.raises(PatronError, match="no orders"):
        advise(lost.head(0), 1000)


def test_advice_is_a_table_and_json_and_trains_nothing(shop: Home, tmp_path: Path, command: Command) -> None:
    done = command(shop, "train", "churn", "--advise", "--json").done()
    assert [w["days"] for w in done["windows"]] == list(WINDOWS)
    silences = [w["silences"] for w in done["windows"]]
    assert silences == sorted(silences, reverse=True)
    events = lake.read(shop, lake.connect())
    lines = events.order_lines.to_pandas()
    visited = visits(events).to_pandas()
    assert len(visited) == len(lines[["customer_key", "day"]].drop_duplicates())
    assert visited["next_day"].isna().sum() == lines["customer_key"].nunique()
    text_value = command(shop, "train", "churn", "--advise")
    assert (text_value.code, text_value.err) == (0, "")
    assert text_value.out.splitlines()[-1] == done["words"]
    assert not shop.mlflow.exists()
    for words in (("propensity", "--advise"), ("all", "--advise"), ("churn", "--advise", "--horizon", "9")):
        assert command(shop, "train", *words).code == 2
    assert "there is no shop" in command(Home(tmp_path / "no"), "train", "churn", "--advise").refused()


@pytest.mark.parametrize("name", list(MODELS))
def test_a_version_has_a_card_with_question_measures_and_customers(trained_shop: Home, name: str) -> None:
    version = Registry(trained_shop).versions(name)[0]
    text = (trained_shop.mlflow / "artifacts" / version.run_id / "artifacts" / "card.md").read_text()
    model = MODELS[name]
    assert text.startswith(f"# {name}\n{model.question}\n")
    assert all(f"`{feature.name}`" in text for feature in model.features)
    assert all(condition.otherwise in text for condition in model.eligible)
    assert all(f"| {measure} | " in text for measure in version.metrics)
    assert "| known for a year or more | " in text
    # Moments are the shop's midnights, and told as its days.
    assert re.search(r"tested on \d{4}-\d\d-01, after training on .* to \d{4}-\d\d-01\n", text)
    assert ("All passed." in text) == (not version.failed_gates)
