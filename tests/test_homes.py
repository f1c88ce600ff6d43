"""Homes that earlier versions made are served as they are: the same answers, and nothing is built anew.

Each archive in ``tests/homes`` is a home of one layout, and the file of its name has what the code of that
layout answered from it. ``tests/homes/make.py`` made both.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HOMES = Path(__file__).with_name("homes")
ARCHIVES = sorted(HOMES.glob("*.tar.xz"))
LARGEST_BYTES = 1_000_000
SHOWN = 20  # differences that a failure lists
# What answering neither adds to nor changes; decisions, logs and locks are elsewhere.
BUILT = ("events/**/*.parquet", "snapshots/**/*", "feast/online.db", "feast/*.json", "mlflow/artifacts/**/*")


def load(name: str) -> ModuleType:
    """A module of ``tests/homes``, which is a folder of scripts and no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HOMES)
        return importlib.import_module(name)


answers_of_homes, checkout = load("answers"), load("checkout")


@dataclass(frozen=True)
class Answers:
    """What an archive's home answered when it was made, and what it answers now."""

    expected: dict[str, Any]
    now: dict[str, Any]
    built_before: dict[str, str]
    built_after: dict[str, str]

    def same(self, *parts: str) -> None:
        """Fail with the differences of these parts."""
        for part in parts:
            expected, now = map(answers_of_homes.with_totals, (self.expected[part], self.now[part]))
            unlike = answers_of_homes.differences(expected, now, f"/{part}")
            assert not unlike, "\n".join([f"{len(unlike)} differences:", *unlike[:SHOWN]])


def name_of(archive: Path) -> str:
    return archive.name.removesuffix(".tar.xz")


def unpack(archive: Path, folder: Path) -> Path:
    """The home of an archive, in a folder."""
    with tarfile.open(archive) as packed:
        # The first releases of 3.11 have no filters, and use none.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)
    return folder / "home"


def digests(home: Path) -> dict[str, str]:
    """The digest of each file that `patron build` and `patron train` write."""
    files = {path for pattern in BUILT for path in home.glob(pattern) if path.is_file()}
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module", params=ARCHIVES, ids=name_of)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """A home, unpacked at another place than it was made at, and asked by a service and the command line."""
    archive = request.param
    record = json.loads((HOMES / f"{name_of(archive)}.json").read_text(encoding="utf-8"))
    home = unpack(archive, tmp_path_factory.mktemp("homes"))
    before = digests(home)
    now = answers_of_homes.collect(checkout.Checkout(ROOT, home), record["questions"])
    return Answers(record["answers"], json.loads(json.dumps(now)), before, digests(home))


def test_there_are_homes_and_each_is_small() -> None:
    assert ARCHIVES
    assert {name_of(a): a.stat().st_size for a in ARCHIVES if a.stat().st_size > LARGEST_BYTES} == {}


@pytest.mark.slow
def test_scores_are_the_same_to_the_last_bit(answers: Answers) -> None:
    answers.same("scores_of_many", "scores_of_few", "scores_explained", "scores_with_context")


def test_what_was_answered_is_explained_as_it_was(answers: Answers) -> None:
    answers.same("explanations")


def test_customers_their_portraits_and_timelines_are_the_same(answers: Answers) -> None:
    answers.same("customers", "customers_by_segment", "portraits", "timelines", "segments")


def test_rankings_of_products_and_categories_are_the_same(answers: Answers) -> None:
    answers.same("products", "categories")


def test_standing_decisions_stand_and_new_ones_are_made_by_the_same_file(answers: Answers) -> None:
    """New decisions have the values of now, and a holdout in place of the monthly control group."""
    answers.same("decisions_standing", "outcomes")
    assert {decision["chosen"]["how"] for decision in answers.now["decisions_new"]} <= {
        "best",
        "explored",
        "holdout",
    }
    then, now = (
        [
            {o["action"] for o in (d["chosen"], *d["runners_up"], *d["not_offered"])}
            for d in side["decisions_new"]
        ]
        for side in (answers.expected, answers.now)
    )
    assert now == then


def test_runs_and_score_jobs_are_read_as_they_were(answers: Answers) -> None:
    answers.same("run", "run_state", "jobs", "job_file")


def test_each_key_opens_what_it_did(answers: Answers) -> None:
    answers.same("keys")


def test_models_versions_and_moves_are_the_same(answers: Answers) -> None:
    answers.same("models", "command_line")


def test_mlflow_opens_each_champion_and_it_predicts_the_same(answers: Answers) -> None:
    assert {"churn", "propensity", "clv"} <= set(answers.expected["mlflow"])
    answers.same("mlflow")


def test_every_recorded_answer_is_compared_and_nothing_was_built_anew(answers: Answers) -> None:
    assert set(answers.now) == set(answers.expected)
    assert answers.built_before
    assert answers.built_after == answers.built_before
