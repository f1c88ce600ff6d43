"""The command line: exit codes, one line per error, JSON that parses, and the loop from end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import typer

import decisions.catalogue.file
import patron
import records as logs
from commands.up import draft_actions
from core.calendar import day_of
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from decisions.catalogue.actions import EXAMPLE
from events import lake
from events.identity import Identity
from events.journal import Message, Refused, append
from events.lake.shops import begin_live
from events.segment.translate import Place, translate
from events.simulation import simulated_shop
from features.groups import FEATURES
from models import questions as catalogue
from models.estimators.trees import CalibratedTrees
from models.questions import MODELS
from models.registry.registry import Registry
from models.spec import Gate
from records import Prediction, ScoreLog
from records.decisions import DecisionLog
from records.runs import RunStore
from serving.decisions.schemas import Row

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "simulate", "import", "build", "features", "train", "tune", "models", "compare", "promote", "rollback",
    "score", "recommend", "serve", "console", "monitor", "up", "keys", "doctor", "quarantine",
    "refresh", "compact", "init", "challenge", "products", "categories", "feedback", "report", "settings",
    "identity", "accounts", "audit", "traits", "backup", "restore", "dataset", "snapshot", "kpis", "cohorts",
    "segments", "actions", "audiences", "deliver", "plan", "results", "outcomes", "holdout", "lake",
)  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a command left behind: its exit code and what it said on both channels."""

    code: int
    out: str
    err: str

    def refused(self) -> str:
        """The one line in which a command that failed said why."""
        assert self.code == 1
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("patron: ")
        assert "Traceback" not in line
        assert "unexpected" not in line
        return line

    def done(self, code: int = 0) -> Any:
        """The JSON that a command said, and nothing else."""
        assert self.code == code, self.err
        assert self.err == ""
        return json.loads(self.out)


def process(home: Path, *words: str) -> Ran:
    """Run a command as a person does, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "patron", *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PATRON_HOME": str(home), "COLUMNS": "200"},
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr)


Command = Callable[..., Ran]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, which saves the seconds of its imports: (home, *words)."""

    def run(home: Path | str, *words: str) -> Ran:
        monkeypatch.setenv("PATRON_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["patron", *words])
        capsys.readouterr()
        code = patron.main()
        output = capsys.readouterr()
        return Ran(code, output.out, output.err)

    return run


# Help and wrong use


def test_help_names_every_command_with_what_it_does(tmp_path: Path) -> None:
    ran = process(tmp_path, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "PATRON_HOME" in ran.out
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b +[A-Z]", ran.out), name
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_tested_here_and_has_help(tmp_path: Path, command: Command) -> None:
    registered = typer.main.get_command(patron.app).commands  # type: ignore[attr-defined]
    assert set(registered) == set(COMMANDS)
    groups = {
        name: {*getattr(registered_command, "commands", ())}
        for name, registered_command in registered.items()
    }
    assert groups["keys"] == {"create", "list", "rotate", "revoke"}
    assert groups["accounts"] == {"create", "list", "role", "password", "close"}
    assert groups["audit"] == {"list", "verify"}
    assert groups["quarantine"] == {"list", "show", "replay", "drop"}
    assert groups["identity"] == {"show", "split"}
    assert groups["lake"] == {"check"}
    for name in (
        *COMMANDS,
        *(f"{group} {own}" for group, all_own in groups.items() for own in sorted(all_own)),
    ):
        ran = command(tmp_path, *name.split(), "--help")
        assert ran.code == 0
        assert "Usage:" in ran.out
        if name not in {
            "serve",
            "console",
            "up",
            "keys",
            "quarantine",
            "identity",
            "accounts",
            "audit",
            "lake",
        }:
            assert "--json" in ran.out


@pytest.mark.parametrize(
    "words",
    [
        ["trane"], ["train"], ["train", "churn", "--horizon", "soon"], ["score"], ["monitor", "--days", "0"],
        ["simulate", "--customers", "0"], ["simulate", "--customers", "many"], ["simulate", "--years", "-1"],
        ["keys", "make"], ["keys", "create", "crm"], ["keys", "create", "--scopes", "all"],
        ["keys", "revoke"], ["keys", "rotate"],
        ["accounts", "create", "x"], ["audit", "list", "--limit", "0"],
        ["identity", "split"], ["identity", "show"], ["traits", "all"],
        ["keys", "create", "x", "--scopes", "all", "--per-minute", "0"],
        ["import"], ["recommend"], ["recommend", "--out", "x.ndjson", "--language", "fr"],
        ["serve", "--port", "65536"], ["serve", "--port", "-1"], ["build", "--quickly"],
        ["build", "now"], ["--quickly"],
        ["products"], ["products", "C1", "--rules", "r.csv"], ["products", "C1", "--limit", "0"],
        ["train", "products", "--horizon", "30"], ["train", "products", "--text", "review"],
        ["feedback"], ["feedback", "good", "--out", "o.csv"], ["feedback", "--table", "t.csv"],
        ["train", "feedback"], ["train", "feedback", "--table", "t.csv", "--text", "a"],
        ["train", "feedback", "--table", "t.csv", "--text", "a", "--rating", "b", "--label", "c"],
        ["train", "feedback", "--table", "t.csv", "--text", "a", "--rating", "b", "--target", "c"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_use_ends_with_2_and_changes_nothing(
    words: list[str], tmp_path: Path, command: Command
) -> None:
    ran = command(tmp_path / "home", *words)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "Usage:" in ran.err
    assert ran.out == ""
    assert not (tmp_path / "home").exists()


def test_wrong_use_ends_the_process_with_2(tmp_path: Path) -> None:
    assert process(tmp_path, "trane").code == 2


# Errors


@pytest.mark.parametrize(
    "words",
    [
        ["build"], ["train", "churn"], ["train", "all", "--json"], ["score", "--out", "scores.csv"],
        ["recommend", "--out", "actions.ndjson"],
        ["monitor"], ["serve", "--port", "PORT"], ["train", "products"], ["products", "C1"],
        ["products", "--rules", "rules.csv"], ["products", "--out", "products.csv"], ["feedback", "good"],
        ["traits"], ["traits", "--draft"], ["identity", "show", "C1"], ["identity", "split", "C1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_without_a_shop_a_command_says_how_to_get_one_and_makes_nothing(
    words: list[str], tmp_path: Path, command: Command
) -> None:
    home = tmp_path / "home"
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    message = command(home, *(word.replace("PORT", port) for word in words)).refused()
    assert f"there is no shop in {home}; run `patron simulate` or `patron import FILE`" in message
    assert not home.exists()


def test_an_error_of_a_process_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    assert "there is no shop" in process(tmp_path / "home", "train", "churn").refused()


def test_what_is_not_there_or_not_usable_is_said_in_a_line(
    built_shop: Home, tmp_path: Path, command: Command
) -> None:
    home = built_shop.path
    assert (
        "no model 'chrun'; there are churn, propensity, clv, leads, subscription_churn"
        in command(home, "train", "chrun").refused()
    )
    assert "no model 'chrun'" in command(home, "monitor", "chrun").refused()
    out = str(tmp_path / "scores.csv")
    assert "no model 'chrun'" in command(home, "score", "--out", out, "--model", "chrun").refused()
    assert "no feature 'ordrs'; there are " in command(home, "features", "ordrs").refused()
    assert ".parquet or .ndjson or .csv or .xlsx" in command(home, "score", "--out", "s.xls").refused()
    assert "there is no folder" in command(home, "score", "--out", str(tmp_path / "no" / "x.csv")).refused()
    assert "use at least 1" in command(home, "train", "churn", "--horizon", "0").refused()
    assert "another PATRON_HOME" in command(home, "simulate", "--seed", "12").refused()


def test_files_that_cannot_be_imported_are_said_in_a_line(tmp_path: Path, command: Command) -> None:
    home = tmp_path / "home"
    retail = ("--as", "online-retail")
    missing = command(home, "import", str(tmp_path / "nowhere.parquet"), *retail).refused()
    assert "nowhere.parquet: there is no such file" in missing
    text = tmp_path / "orders.parquet"
    text.write_text("not parquet\n" * 100)
    assert "orders.parquet" in command(home, "import", str(text), *retail).refused()
    unknown = command(home, "import", str(text), "--as", "shopify").refused()
    assert "--as shopify: there is neither such a source (cdnow, online-retail)" in unknown
    unsaid = command(home, "import", str(text))
    assert unsaid.code == 2
    assert "pass --as SOURCE" in " ".join(unsaid.err.replace("│", " ").split())
    assert command(home, "import", "--report").refused()
    assert "no such file" in command(home, "import", str(tmp_path), *retail).refused()
    assert not home.exists()


def test_scores_are_needed_before_they_can_be_watched(trained_copy: Home, command: Command) -> None:
    assert "nothing was scored yet" in command(trained_copy.path, "monitor", "clv").refused()


def test_scores_need_a_champion_and_say_what_makes_one(
    built_shop: Home, copy_home: Callable[[Home], Home], tmp_path: Path, command: Command
) -> None:
    home = copy_home(built_shop).path
    message = command(home, "score", "--out", str(tmp_path / "scores.csv"), "--model", "clv").refused()
    assert "clv has no champion: it was never trained; run `patron train clv`" in message
    assert not (tmp_path / "scores.csv").exists()
    assert "clv has no champion" in command(home, "monitor", "clv").refused()


def test_a_setting_that_cannot_be_understood_is_said_in_a_line(
    trained_shop: Home, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in ("eighty", "70000", "0"):
        monkeypatch.setenv("PATRON_PORT", port)
        ran = command(trained_shop.path, "serve")
        assert ran.code == 2
        (line,) = ran.err.splitlines()
        assert line.startswith("patron: PATRON_PORT: Input should be ")


def test_a_home_in_a_bucket_is_refused(command: Command) -> None:
    ran = command("s3://bucket/shop", "kpis")
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert line.startswith("patron: PATRON_HOME: a home is a folder")


def test_a_home_may_be_the_address_of_a_folder(trained_shop: Home, command: Command) -> None:
    assert command(f"file://{trained_shop.path}", "models").code == 0


def test_a_port_in_use_is_said_in_a_line(trained_shop: Home, command: Command) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        message = command(trained_shop.path, "serve", "--port", port).refused()
    assert f"cannot listen on 127.0.0.1:{port}" in message


def test_an_error_nobody_expected_is_a_line_and_the_whole_of_it_on_request(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(simulated_shop, "simulate_shop", broken)
    ran = command(tmp_path, "simulate")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "patron: unexpected ZeroDivisionError: no such luck (PATRON_DEBUG=1 shows where)\n"
    monkeypatch.setenv("PATRON_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        command(tmp_path, "simulate")


def test_stopped_by_the_keyboard_it_ends_without_a_word_about_errors(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulated_shop, "simulate_shop", stopped)
    ran = command(tmp_path, "simulate")
    assert ran.code not in (0, 2, 3)
    assert "unexpected" not in ran.err
    assert "Traceback" not in ran.err


# What commands do


def test_a_shop_is_simulated_built_and_too_short_to_train_on(tmp_path: Path, command: Command) -> None:
    home = tmp_path / "home"
    words = ("simulate", "--customers", "60", "--seed", "3", "--years", "0.4", "--json")
    done = command(home, *words).done()
    assert done["orders"] > 20
    assert done["source"] == "simulate"
    described = command(home, "build", "--json").done()
    assert described["as_ofs"] >= 1
    assert datetime.fromisoformat(described["current"]).tzinfo is not None
    message = command(home, "train", "clv").refused()
    assert re.search(r"clv cannot be trained: a horizon of 90 days needs about \d+ days of history", message)
    assert command(home, "train", "propensity", "--horizon", "4000").refused()
    assert command(home, *words).done()["orders"] == done["orders"]  # again, it is the same shop
    assert "--replace" in command(home, "simulate", "--customers", "61", "--seed", "3").refused()


def test_an_import_accounts_for_its_rows(tmp_path: Path, command: Command, small_retail: Any) -> None:
    day = datetime.fromisoformat("2010-12-01T09:00")
    rows = [(f"5{i:05}", "85123A", 2, day + timedelta(days=i), 2.5, 12_000 + i % 4) for i in range(8)]
    rows.append(("C500001", "85123A", -1, day + timedelta(days=2), 2.5, 12_001))
    words = (str(small_retail(rows)), "--as", "online-retail")
    done = command(tmp_path / "home", "import", *words, "--json").done()
    assert done["read"] == len(rows) == sum(done["kept"].values()) + sum(done["set_aside"].values())
    assert done["changed"] is True
    again = command(tmp_path / "home", "import", *words, "--json").done()
    assert again["changed"] is False
    report = command(tmp_path / "home", "import", "--report", "--json").done()
    assert isinstance(report["set_aside"], list)
    ran = command(tmp_path / "other", "import", *words)
    assert ran.code == 0
    assert ran.out.startswith(f"read {len(rows)} = kept ")


def test_features_are_listed_with_who_reads_them(tmp_path: Path, command: Command) -> None:
    listed = command(tmp_path, "features", "--json").done()["features"]
    assert [feature["name"] for feature in listed] == list(FEATURES)
    (one,) = command(tmp_path, "features", "recency_days", "--json").done()["features"]
    assert one["models"] == [
        m.name for m in catalogue.every().values() if FEATURES["recency_days"] in m.features
    ]
    ran = command(tmp_path, "features", "recency_days")
    assert (ran.code, ran.err) == (0, "")
    assert FEATURES["recency_days"].description in ran.out


def test_settings_are_listed_with_default_and_meaning(tmp_path: Path, command: Command) -> None:
    listed = {s["variable"]: s for s in command(tmp_path, "settings", "--json").done()["settings"]}
    assert listed["PATRON_WORKERS"] | {"meaning": ""} == {
        "variable": "PATRON_WORKERS", "values": "1 to 64", "unit": "processes", "default": "`1`",
        "meaning": "",
    }  # fmt: skip
    assert listed["PATRON_REFRESHER"]["values"] == "`child` or `off`"
    assert re.search(r"^PATRON_PORT +8000 +the port", command(tmp_path, "settings").out, re.M)
    page = tmp_path / "configuration.md"
    assert command(tmp_path, "settings", "--write", str(page)).out == f"wrote {page}\n"
    assert "| `PATRON_PORT` | 1 to 65,535 | | `8000` |" in page.read_text()


@pytest.mark.slow
def test_training_prints_its_measures_and_exits_with_3_if_a_gate_fails(
    trained_copy: Home, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version,) = command(trained_copy.path, "train", "propensity", "--json").done()["versions"]
    assert (version["name"], version["version"], version["champion"]) == ("propensity", "2", True)
    assert version["refusals"] == []
    assert version["metrics"]["auc"] > 0.6
    gates = (Gate("auc", "nothing is perfect", at_least=1.01),)
    strict = replace(MODELS["propensity"], gates=gates, estimator=lambda: CalibratedTrees(rounds=3))
    monkeypatch.setitem(catalogue.MODELS, "propensity", strict)
    ran = command(trained_copy.path, "train", "propensity")
    assert ran.code == 3
    assert ran.err == ""
    assert re.fullmatch(
        r"propensity version 3: auc 0\.\d+ on a later time; not promoted: auc is 0\.\d+ and must be"
        r" at least 1\.01: nothing is perfect\n",
        ran.out,
    )
    assert Registry(trained_copy).champion("propensity").version == "2"


@pytest.fixture(scope="module")
def scored(
    trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any
) -> tuple[Home, Path, Any]:
    """A trained shop whose customers were all scored by the command, the file, and what was said."""
    folder = tmp_path_factory.mktemp("scored")
    home, out = copy_trained(trained_shop, folder / "home"), folder / "scores.parquet"
    return home, out, process(home.path, "score", "--out", str(out), "--json").done()


def test_everyone_is_scored_into_a_file_and_into_the_log(scored: tuple[Home, Path, Any]) -> None:
    home, out, done = scored
    ids = Identity(home).table()["customer_id"].to_pylist()
    assert re.fullmatch("[0-9a-f]{32}", done.pop("job_id"))
    assert done == {
        "customers": len(ids), "already_scored": 0, "out": str(out), "models": list(MODELS), "absent": {}
    }  # fmt: skip
    table = pq.read_table(out)
    assert table["customer_id"].to_pylist() == ids
    assert set(table["features_as_of"].to_pylist()) == {home.shop().now()}
    for name in MODELS:
        assert table.schema.field(name).type == "double"
        scores, reasons = table[name].to_pylist(), table[f"{name}_reason"].to_pylist()
        assert all((score is None) != (reason is None) for score, reason in zip(scores, reasons, strict=True))
        assert sum(score is not None for score in scores) > 100
        assert set(table[f"{name}_version"].to_pylist()) == {"1"}
    logged_scores = logs.read(home, home.shop().now() - timedelta(days=1), home.shop().now(), lake.connect())
    assert (logged_scores.answers, logged_scores.lost) == (len(ids), 0)
    keys = Identity(home).keys(ids)
    logged = logged_scores.vectors.to_pandas().set_index("customer_key")["clv.score"]
    for customer, score in zip(ids, table["clv"].to_pylist(), strict=True):
        value = logged[keys[customer]]
        assert (None if pd.isna(value) else value) == score
    assert not [path for path in out.parent.iterdir() if "draft" in path.name]


def test_a_csv_of_one_model_holds_the_same_scores(
    scored: tuple[Home, Path, Any],
    tmp_path: Path,
    command: Command,
    copy_trained: Callable[[Home, Path], Home],
) -> None:
    home, parquet, _ = scored
    out = tmp_path / "scores.csv"
    ran = command(copy_trained(home, tmp_path / "home").path, "score", "--out", str(out), "--model", "clv")
    assert (ran.code, ran.err) == (0, "")
    message = f"scored {pq.read_metadata(parquet).num_rows} customers into {out} (job "
    assert re.fullmatch(re.escape(message) + r"[0-9a-f]{32}\)\n", ran.out)
    table = pyarrow.csv.read_csv(out)
    assert table.column_names == [
        "customer_id", "features_as_of", "clv", "clv_low", "clv_high", "clv_probability_of_order",
        "clv_amount_if_order", "clv_percentile", "clv_version", "clv_reason",
    ]  # fmt: skip
    assert table["clv"].to_pylist() == pq.read_table(parquet)["clv"].to_pylist()


def test_keys_are_made_listed_and_revoked_also_before_there_is_a_shop(
    tmp_path: Path, command: Command
) -> None:
    home = tmp_path / "home"
    none = command(home, "keys", "list")
    assert (none.code, none.out.startswith(f"there are no keys in {home}; `patron keys create")) == (0, True)
    assert "no scope 'scoers'" in command(home, "keys", "create", "crm", "--scopes", "scoers").refused()
    assert not home.exists()

    ran = command(home, "keys", "create", "crm", "--scopes", "decisions, scores")
    assert ran.code == 0
    secret = ran.out.strip()  # alone, for a script to take; what is to be read is beside it
    assert re.fullmatch(r"patron_[\w-]{43}", secret)
    assert ran.err == "the key 'crm' of scores, decisions; store it, it is not shown again\n"
    assert "valid key 'crm'" in command(home, "keys", "create", "crm", "--scopes", "all").refused()
    made = command(home, "keys", "create", "shop", "--scopes", "all", "--json").done()
    assert made["key"].startswith(made["prefix"])
    assert made["key"] != made["prefix"]

    (revoked,) = command(home, "keys", "revoke", "crm", "--json").done()["revoked"]
    assert (revoked["prefix"], revoked["state"]) == (secret[:15], "revoked")
    assert "no valid key" in command(home, "keys", "revoke", "crm").refused()
    crm, shop = command(home, "keys", "list", "--json").done()["keys"]
    assert (crm["name"], crm["prefix"], crm["scopes"]) == ("crm", secret[:15], ["scores", "decisions"])
    assert datetime.fromisoformat(crm["created"]) <= datetime.fromisoformat(crm["revoked"])
    assert shop == {name: value for name, value in made.items() if name != "key"}
    listed = command(home, "keys", "list").out
    assert re.search(rf"^{secret[:15]}  crm +scores,decisions +made .*, revoked ", listed)
    assert secret not in listed
    assert command(home, "keys", "revoke", made["key"]).out.startswith("revoked 'shop'")


def test_keys_are_made_for_some_time_and_so_many_requests_and_rotated(
    tmp_path: Path, command: Command
) -> None:
    home = tmp_path / "home"
    create = ["keys", "create", "crm", "--scopes", "all"]
    assert "'soon' is not a time span" in command(home, *create, "--expires-in", "soon").refused()
    assert not home.exists()
    made = command(home, *create, "--expires-in", "90d", "--per-minute", "600", "--json").done()
    days = datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(made["created"])
    assert (days.days, made["per_minute"], made["state"]) == (90, 600, "current")
    assert "'1w' is not a time span" in command(home, "keys", "rotate", "crm", "--overlap", "1w").refused()

    ran = command(home, "keys", "rotate", "crm")
    assert re.fullmatch(r"patron_[\w-]{43}\n", ran.out)
    assert re.fullmatch(
        rf"the new key 'crm'; store it, it is not shown again\. The old one \({made['prefix']}\) is invalid"
        r" from \d{4}-\d\d-\d\d \d\d:\d\d UTC on\n",
        ran.err,
    )
    again = command(home, "keys", "rotate", "crm", "--overlap", "0h", "--json").done()
    assert again["key"].startswith(again["prefix"])
    assert (again["old"]["prefix"], again["old"]["state"]) == (ran.out[:15], "expired")
    listed = command(home, "keys", "list").out.splitlines()
    assert [re.search(r"a minute, (\w+)", line)[1] for line in listed] == [  # type: ignore[index]
        "replaced", "expired", "expires",
    ]  # fmt: skip
    assert command(home, "keys", "revoke", "crm").out.startswith(
        f"revoked 'crm' ({made['prefix']}, {again['prefix']}); "
    )
    assert "no key that could be rotated" in command(home, "keys", "rotate", "crm").refused()


def test_the_quarantine_is_listed_shown_tried_again_and_dropped(tmp_path: Path, command: Command) -> None:
    home = Home(tmp_path / "home")
    assert "import or simulate a shop first" in command(home.path, "quarantine", "list").refused()
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock()))
    at = datetime(2024, 5, 4, 10, tzinfo=UTC)
    fits = '{"type": "track", "userId": "somebody", "event": "x"}'
    append(
        Database(home), [], [Refused(at, "it was so", fits), Refused(at, "it is so", "[1]")], compacted_seq=0
    )
    ran = command(home.path, "quarantine", "list")
    assert "it was so" in ran.out
    assert "somebody" not in ran.out
    listed = command(home.path, "quarantine", "list", "--most", "1", "--json").done()
    assert [(r["reason"], r["count"]) for r in listed["reasons"]] == [("it is so", 1), ("it was so", 1)]
    assert listed["newest"] == [{"id": 2, "received_at": at.isoformat(), "reason": "it is so"}]
    assert "somebody" in command(home.path, "quarantine", "show", "1").out
    shown = command(home.path, "quarantine", "show", "1", "--json").done()
    assert (shown["id"], shown["message"]) == (1, json.loads(fits))
    assert command(home.path, "quarantine", "replay", "--json").done() == {"kept": 1, "refused": 1}
    assert "no message 1 is in the quarantine" in command(home.path, "quarantine", "show", "1").refused()
    assert "no message 1 is" in command(home.path, "quarantine", "drop", "1").refused()
    assert command(home.path, "quarantine", "drop").code == 2
    assert command(home.path, "quarantine", "drop", "2", "--all").code == 2
    assert command(home.path, "quarantine", "drop", "2", "--json").done() == {"dropped": 1}
    assert command(home.path, "quarantine", "drop", "--all", "--json").done() == {"dropped": 0}
    assert command(home.path, "quarantine", "list").out == "the quarantine is empty\n"


def live_shop(home: Home, *messages: dict[str, Any]) -> Home:
    """A shop that began now and received these messages an hour ago."""
    begin_live(home, "UTC", "EUR")
    at = datetime.now(UTC) - timedelta(hours=1)
    place = Place("UTC", "EUR")
    arrived = [translate({"type": "track", "event": "x"} | message, at, place) for message in messages]
    append(Database(home), [m for m in arrived if isinstance(m, Message)], [], compacted_seq=0)
    return home


def test_a_mistaken_merge_is_shown_and_undone_from_then_on(tmp_path: Path, command: Command) -> None:
    alias = {"type": "alias", "previousId": "phone", "userId": "ann"}
    home = live_shop(Home(tmp_path / "home"), {"userId": "ann"}, {"anonymousId": "phone"}, alias)
    shown = command(home.path, "identity", "show", "ann", "--json").done()
    assert shown == {"customer_ids": ["ann", "anonymous:phone"]}
    assert command(home.path, "identity", "show", "anonymous:phone").out == "ann\nanonymous:phone\n"
    assert "no customer with that id" in command(home.path, "identity", "split", "bob").refused()
    begun = datetime.now(UTC)
    done = command(home.path, "identity", "split", "anonymous:phone", "--json").done()
    assert done["customer_ids"] == ["anonymous:phone"]
    assert done["other_customer_ids"] == ["ann"]
    assert begun <= datetime.fromisoformat(done["at"]) <= datetime.now(UTC)
    assert command(home.path, "identity", "show", "ann", "--json").done() == {"customer_ids": ["ann"]}
    message = command(home.path, "identity", "split", "ann").refused()
    assert "the only one of its customer; nothing was changed" in message


def test_nothing_is_split_in_a_shop_whose_clock_is_frozen(command: Command, shop_copy: Home) -> None:
    message = command(shop_copy.path, "identity", "split", "C000001").refused()
    assert "the clock of this shop is frozen" in message


def test_traits_are_drafted_declared_and_listed(tmp_path: Path, command: Command) -> None:
    plans = ("basic", "gold", "basic")
    messages = [
        {"type": "identify", "userId": f"c{i}", "traits": {"plan": plan, "visits": 7}}
        for i, plan in enumerate(plans)
    ]
    home = live_shop(Home(tmp_path / "home"), *messages)
    assert "no trait is declared; `patron traits --draft`" in command(home.path, "traits").out
    assert command(home.path, "traits", "--json").done() == {"traits": []}
    draft = command(home.path, "traits", "--draft", "--json").done()["draft"]
    assert command(home.path, "traits", "--draft").out.strip() == draft.strip()
    with home.settings_file.open("a", encoding="utf-8") as settings:
        settings.write(f"\n{draft}")
    listed = command(home.path, "traits", "--json").done()["traits"]
    assert {(trait["trait"], trait["kind"], trait["feature"]) for trait in listed} == {
        ("plan", "text", "trait_plan"),
        ("visits", "number", "trait_visits"),
    }
    assert "trait_plan" in command(home.path, "traits").out
    assert "[traits." not in command(home.path, "traits", "--draft", "--json").done()["draft"]
    features = command(home.path, "features", "--json").done()["features"]
    assert "trait_plan" in {row["name"] for row in features}
    with home.settings_file.open("a", encoding="utf-8") as settings:
        settings.write('[traits.colour]\nkind = "paint"\nmeaning = "What they like."\n')
    message = command(home.path, "traits").refused()
    assert "home.toml: [traits.\"colour\"]: kind is 'paint'" in message


def test_it_makes_no_shop_that_others_could_ask_without_a_key(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_HOST", "0.0.0.0")
    message = command(tmp_path / "home", "up").refused()
    assert "listening on 0.0.0.0 needs a key" in message
    assert "patron keys create NAME --scopes all" in message
    assert not (tmp_path / "home").exists()


def test_an_example_of_actions_can_be_used_as_it_is_printed(tmp_path: Path, command: Command) -> None:
    ran = command(tmp_path, "recommend", "--draft")
    assert (ran.code, ran.err) == (0, "")
    assert decisions.catalogue.file.parse(ran.out.encode(), "stdout").channel_names
    assert list(tmp_path.iterdir()) == []


def test_a_simulated_shop_gets_the_example_of_actions_and_no_other_file_is_touched(shop_copy: Home) -> None:
    draft_actions(shop_copy)
    assert decisions.catalogue.file.load(shop_copy).channel_names
    shop_copy.actions.write_text("own")
    draft_actions(shop_copy)
    assert shop_copy.actions.read_text() == "own"
    shop_copy.actions.unlink()
    shop_copy.write_shop(replace(shop_copy.shop(), source="mapping"))
    draft_actions(shop_copy)
    assert not shop_copy.actions.exists()


def test_everyone_is_decided_for_into_a_file_and_into_the_log(
    trained_copy: Home, tmp_path: Path, command: Command
) -> None:
    ids = Identity(trained_copy).table()["customer_id"].to_pylist()
    out = tmp_path / "actions.ndjson"
    message = command(trained_copy.path, "recommend", "--out", str(out)).refused()
    assert f"no actions in {trained_copy.actions}; `patron recommend --draft > " in message
    assert not out.exists()
    trained_copy.actions.write_bytes(EXAMPLE.read_bytes())
    done = command(trained_copy.path, "recommend", "--out", str(out), "--json").done()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["customer_id"] for row in rows] == ids
    assert (done["customers"], done["out"]) == (len(ids), str(out))
    assert done["actions"] == dict(Counter(row["action"] for row in rows))
    assert {row["run_id"] for row in rows} == {done["run_id"]}
    with DecisionLog(trained_copy) as log:
        run = RunStore(log).find(done["run_id"])
        assert run is not None
        assert (run.status, run.caller, run.done) == ("done", "cli", len(ids))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["actions.ndjson", "home"]


def test_a_segment_is_decided_for_into_parquet(trained_copy: Home, tmp_path: Path, command: Command) -> None:
    trained_copy.actions.write_bytes(EXAMPLE.read_bytes())
    home, out = trained_copy.path, tmp_path / "actions.parquet"
    words = ("--segment", "country:AT", "--channel", "email", "--channel", "app", "--language", "zh")
    ran = command(home, "recommend", "--out", str(out), *words)
    assert (ran.code, ran.err) == (0, "")
    table = pq.read_table(out)
    assert ran.out.startswith(f"decided for {table.num_rows} customers into {out}\n")
    assert table.column_names == list(Row.model_fields)
    assert str(table.schema.field("decided_at").type) == "timestamp[us, tz=UTC]"
    assert {str(table.schema.field(name).type) for name in ("cost", "churn", "expected_value")} == {"double"}
    assert set(table["channel"].to_pylist()) <= {"email", "app", None}
    assert "不联系" in table["action_text"].to_pylist()
    assert "fax" in command(home, "recommend", "--out", str(out), "--channel", "fax").refused()
    assert "AT, CH, DE" in command(home, "recommend", "--out", str(out), "--segment", "country:XX").refused()
    kinds = ".ndjson or .csv or .xlsx or .parquet"
    assert kinds in command(home, "recommend", "--out", "actions.txt").refused()
    both = ("--segment", "country:AT", "--segment", "acquisition_channel:search")
    done = command(home, "recommend", "--out", str(out), *both, "--only-actions", "--json").done()
    assert 0 < done["customers"] < table.num_rows
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == done["customers"] - done["actions"]["nothing"]
    assert "nothing" not in {row["action"] for row in rows}
    own = tmp_path / "own.toml"
    own.write_text('[mine]\nmax_rows = 3\n[mine.columns]\ncustomer_id = "ID"\naction = "Do"\n')
    message = command(home, "recommend", "--out", str(out), "--layout", str(own)).refused()
    assert "--for and --layout are for .csv or .xlsx" in message
    words = ("--segment", "country:AT", "--layout", str(own), "--out", str(tmp_path / "a.csv"), "--json")
    done = command(home, "recommend", *words).done()
    parts = [Path(path).read_text().splitlines() for path in done["files"]]
    assert {part[0] for part in parts} == {'"ID","Do"'}
    assert sum(len(part) - 1 for part in parts) == table.num_rows
    assert len(parts) == -(-table.num_rows // 3) > 1
    trained_copy.actions.write_text("margin = 2")
    assert "margin: " in command(home, "recommend", "--out", str(out)).refused()


def served_again(home: Home, factor: float) -> None:
    """Log everyone's vectors once more, as if served a moment later with all money so many times as much."""
    now = home.shop().now()
    vectors = logs.read(home, now - timedelta(days=1), now, lake.connect()).vectors.to_pandas()
    features = tuple(name for name in vectors if name in FEATURES)
    money = {name for name in features if FEATURES[name].unit == "currency"}
    rows = []
    for row in vectors.astype(object).where(vectors.notna(), None).to_dict("records"):
        vector = [
            row[name] * factor if name in money and row[name] is not None else row[name] for name in features
        ]
        answers = {
            name: {"version": row[f"{name}.version"], "score": row[f"{name}.score"]} for name in MODELS
        }
        day = day_of(now, home.shop().time_zone)
        rows.append(Prediction(now, day, int(row["customer_key"]), now, "api", features, vector, answers))
    with ScoreLog(home) as log:
        log.put(rows)


def test_the_monitor_is_quiet_on_those_it_learnt_from_and_says_no_when_their_spend_grew_by_half(
    scored: tuple[Home, Path, Any],
    tmp_path: Path,
    command: Command,
    copy_trained: Callable[[Home, Path], Home],
) -> None:
    home = copy_trained(scored[0], tmp_path / "home")
    (report,) = command(home.path, "monitor", "clv", "--json").done()["reports"]
    assert report["verdict"] == "quiet"
    assert report["model"] == "clv"
    assert report["customers"] == pq.read_metadata(scored[1]).num_rows
    written = json.loads(Path(report["json"]).read_text())
    assert written["verdict"] == "quiet"
    assert "<html" in Path(report["html"]).read_text()

    served_again(home, 1.5)
    ran = command(home.path, "monitor", "clv")
    assert ran.code == 3
    assert ran.err == ""
    words = ran.out.splitlines()[0]
    assert words.startswith("Drifted: ")
    assert re.search(r"\b(spend_\w+|net_spend_365d|average_order_value|largest_order) \(", words)
    assert "recency_days" not in words
    (report,) = command(home.path, "monitor", "clv", "--json").done(code=3)["reports"]
    drifted = {column["column"] for column in report["columns"] if column["drifted"]}
    assert drifted
    assert all(FEATURES[name].unit == "currency" for name in drifted)


def test_a_home_is_backed_up_restored_and_attached(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    command(home, "init", "--time-zone", "Europe/Berlin", "--currency", "EUR", "--json").done()
    folder = str(tmp_path / "backup")
    made = command(home, "backup", folder, "--json").done()
    assert made["home_id"] == json.loads((home / "home.id").read_text())["id"]
    assert "is not empty; pass a folder that does not exist yet" in command(home, "backup", folder).refused()
    assert "--replace` replaces the shop" in command(home, "restore", folder).refused()
    assert command(home, "restore", folder, "--replace", "--json").done()["replaced"]
    restored = command(other, "restore", folder)
    assert (restored.code, restored.err) == (0, "")
    assert "`patron build` computes the features" in restored.out
    assert Home(other).shop() == Home(home).shop()
    assert "is no complete backup" in command(other, "restore", str(tmp_path / "none")).refused()
    (other / "home.toml").unlink()
    shutil.rmtree(other / "events")
    assert "pass its --time-zone and --currency to --attach" in command(other, "init", "--attach").refused()
    attached = command(other, "init", "--attach", "--time-zone", "Europe/Berlin", "--currency", "EUR")
    assert "have the id" in attached.out
    assert "`patron import` the history again" in attached.out
    assert command(tmp_path / "new", "init").code == 2
