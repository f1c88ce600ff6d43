"""The doctor: what it says of a home that is well, of one that lags behind, and of one that is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import patron
from benchmarks.harness import servers
from core import home_id
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from events import lake
from events.identity import Identity
from events.journal import Message, append
from events.lake import versions
from models.registry.registry import Registry
from models.registry.standing import CHAMPION
from serving.operations import ownership
from serving.operations.checks import Check
from serving.operations.doctor import examine


def states(home: Home) -> dict[str, str]:
    return {check.part: check.state for check in examine(home)}


def check_of(home: Home, part: str) -> Check:
    (check,) = (check for check in examine(home) if check.part == part)
    return check


WELL = dict.fromkeys(
    ("versions", "privacy", "database", "home", "shop", "lake", "journal", "identity", "quarantine",
     "snapshots", "online store", "MLflow", "keys", "churn", "propensity", "clv"), "ok",
)  # fmt: skip


def test_of_a_home_that_is_well_it_says_what_runs(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATRON_HOME", str(trained_copy.path))
    monkeypatch.setattr("sys.argv", ["patron", "doctor", "--json"])
    assert patron.main() == 0
    output = capsys.readouterr().out
    checks = {check["part"]: check for check in json.loads(output)["checks"]}
    assert {name: check["state"] for name, check in checks.items()} == WELL
    assert "DuckDB 1." in checks["versions"]["found"]
    assert "tables at step" in checks["database"]["found"]
    assert checks["online store"]["found"].startswith("SQLite 3.")
    assert checks["churn"]["found"] == "version 1 of 1 answers"
    assert not [name for name in Identity(trained_copy).table()["customer_id"].to_pylist() if name in output]


def test_where_there_is_no_shop_it_says_so_and_makes_nothing(
    empty_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = empty_home.database is not None
    given = {"versions": "ok", "database": "ok" if server else "failed", "shop": "failed"}
    assert states(empty_home) == given
    monkeypatch.setenv("PATRON_HOME", str(empty_home.path))
    monkeypatch.setattr("sys.argv", ["patron", "doctor"])
    assert patron.main() == 1
    assert "failed   shop" in capsys.readouterr().out
    assert not empty_home.path.exists()


def test_it_says_what_waits_for_the_lake_and_since_when(shop_copy: Home) -> None:
    database, now = Database(shop_copy), datetime.now(UTC)
    assert check_of(shop_copy, "journal") == Check("journal", "ok", "the lake holds all of it")
    append(database, [Message("a", now - timedelta(minutes=5), "somebody")], compacted_seq=0)
    assert check_of(shop_copy, "journal").state == "ok"
    assert "1 messages that the lake does not hold yet" in check_of(shop_copy, "journal").result
    append(database, [Message("b", now - timedelta(days=3), "somebody")], compacted_seq=0)
    late = check_of(shop_copy, "journal")
    assert (late.state, late.result[-6:]) == ("warning", "3 days")
    assert "2 messages" in late.result
    assert "somebody" not in late.result


def test_it_says_what_lags_behind(trained_copy: Home) -> None:
    shop = trained_copy.shop()
    trained_copy.write_shop(replace(shop, clock=Clock(shop.now() + timedelta(days=2))))
    Registry(trained_copy).mlflow.client.delete_registered_model_alias("churn", CHAMPION)
    text = {check.part: check for check in examine(trained_copy)}
    assert {name: check.state for name, check in text.items()} == WELL | {
        "snapshots": "warning", "online store": "warning", "churn": "warning",
    }  # fmt: skip
    for part in ("snapshots", "online store"):
        assert "2 days behind" in text[part].result
        assert text[part].advice == "run `patron build`"
    assert "run `patron train churn`" in text["churn"].result


def test_each_part_is_looked_at_whatever_is_wrong_with_the_others(trained_copy: Home) -> None:
    trained_copy.database_file.write_bytes(b"no database at all" * 500)
    lake.bucket_file(versions.current(trained_copy).folder, "order_lines", 0).unlink()
    trained_copy.online_file.unlink()
    (bundle,) = trained_copy.mlflow.rglob(
        f"{Registry(trained_copy).versions('clv')[0].run_id}/**/manifest.json"
    )
    bundle.unlink()
    text = examine(trained_copy)
    assert {check.part for check in text if check.state == "failed"} == {
        "database", "shop", "orders", "journal", "identity", "quarantine", "online store", "home", "keys",
        "MLflow",
    }  # fmt: skip
    assert "restore it from a backup" in next(check.result for check in text if check.part == "database")


def test_a_server_that_does_not_answer_is_named_without_its_password(
    shop: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"me:secret@{servers.HOST}:1"
    monkeypatch.setenv("PATRON_ONLINE_STORE", f"redis://{nobody}/0")
    monkeypatch.setenv("PATRON_MLFLOW_URI", f"http://{nobody}")
    text = examine(Home(shop.path, f"postgresql://{nobody}/shop"))
    assert {check.part for check in text if check.state == "failed"} >= {"database", "online store", "MLflow"}
    assert "127.0.0.1:1" in found_in(text, "database")
    assert not [check for check in text if "secret" in f"{check}"]


def found_in(text: list[Check], part: str) -> str:
    return next(check.result for check in text if check.part == part)


def test_it_compares_the_ids_of_the_home_and_its_stores(trained_copy: Home) -> None:
    checks = list(ownership.check(trained_copy))
    assert [check.state for check in checks] == ["ok", "ok", "ok"]
    assert [check.result.partition(", also of ")[2][:12] for check in checks] == [
        "the database", "the online s", "MLflow at sq",
    ]  # fmt: skip
    home_id.write(trained_copy, home_id.new())
    Database(trained_copy).close()
    failed = {check.part: check for check in examine(trained_copy) if check.state == "failed"}
    assert "belongs to another home" in failed["database"].result
    assert "belongs to another home" in failed["online store"].result
    assert "belongs to another home" in failed["MLflow"].result
