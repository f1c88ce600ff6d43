"""What customers write, in the shell: learnt from a file, and judged one by one or as a file."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.home import Home
from features.text.opinions import TextReader
from models.registry.registry import Registry
from models.text.bundle import open_classifier
from models.text.judgement import judge
from serving.catalogue.other_models import OtherModels
from serving.operations.doctor import models
from serving.scores.champion_watch import ChampionWatch

GOOD, BAD = ("wonderful quality", "lovely, and soft", "很好"), ("awful quality", "useless, it broke", "很差")
AROUND = ("the coat is", "this lamp seems", "这件衣服")
Run = Callable[..., tuple[int, str, str]]


def written(path: Path, rows: list[tuple[object, ...]], header: str = "review,stars,happy") -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(header + "\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def reviews(count: int = 400) -> list[tuple[object, ...]]:
    """Texts with stars from 1 to 5, and whether their author is happy in words."""
    chance = random.Random(5)
    rows: list[tuple[object, ...]] = []
    for _ in range(count):
        stars = chance.choice((1, 2, 3, 4, 5))
        words = chance.choice(GOOD if stars > 3 else BAD if stars < 3 else GOOD + BAD)
        rows.append(
            (f"{chance.choice(AROUND)} {words} {chance.randrange(100)}", stars, "yes" if stars > 3 else "no")
        )
    return rows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home without a shop, in which a classifier was learnt from stars."""
    from events.files.table import open_table
    from training.texts.pipeline import of_table, train_feedback

    folder = tmp_path_factory.mktemp("feedback")
    file = written(folder / "reviews.csv", reviews())
    made = Home(folder / "home")
    assert train_feedback(Registry(made), of_table(open_table(file), "review", "stars", stars=True)).champion
    return made


def test_it_is_learnt_from_stars_and_from_words_alike(tmp_path: Path, run_patron: Run) -> None:
    file, home = written(tmp_path / "reviews.csv", reviews()), Home(tmp_path / "home")
    code, out, err = run_patron(
        home, "train", "feedback", "--table", file, "--text", "review", "--rating", "stars"
    )
    assert (code, err) == (0, "")
    assert out.startswith("feedback version 1: auc ")
    assert out.endswith(" on texts held out; champion\n")
    command = ("train", "feedback", "--table", file, "--text", "review", "--label", "happy", "--json")
    (version,) = json.loads(run_patron(home, *command)[1])["versions"]
    assert (version["version"], version["champion"]) == ("2", True)
    listed = run_patron(home, "models")[1]
    assert "* feedback              2  " in listed
    second = TextReader.of(home)
    ran = run_patron(home, "rollback", "feedback", "--why", "a try")
    assert (ran[0], "features of texts with the next build" in ran[1]) == (0, True)
    assert TextReader.of(home) != second  # who answers reads texts for features, too
    assert run_patron(home, "promote", "feedback", "2", "--why", "better")[0] == 0
    assert TextReader.of(home) == second
    assert run_patron(home, "rollback", "feedback", "--why", "a try")[0] == 0
    assert Registry(home).champions(["feedback"]) == {"feedback": "1"}


def test_the_service_and_the_doctor_tell_of_it(home: Home) -> None:
    (state,) = OtherModels(ChampionWatch(home)).states()
    assert (state.name, state.version, state.trained_as_of) == ("feedback", "1", None)
    assert state.meaning == "calibrated probability that the author is content"
    assert "feedback: version 1 of 1 answers" in [f"{check.part}: {check.result}" for check in models(home)]


def test_one_text_is_judged_with_its_words_and_topics(home: Home, run_patron: Run) -> None:
    code, out, _ = run_patron(home, "feedback", "the coat is of awful quality, and it broke", "--json")
    judged = json.loads(out)
    assert code == 0
    assert judged["probability"] < 0.2
    assert judged["confidence"] == pytest.approx(1 - judged["probability"])
    assert "awful" in {reason["ngram"] for reason in judged["against"]}
    assert all(reason["contribution"] < 0 for reason in judged["against"])
    (topic,) = judged["topics"]
    assert (topic["topic"], topic["words"]) == ("quality", ["quality", "broke"])
    assert topic["probability"] < 0.3
    words = run_patron(home, "feedback", "a lovely coat")[1]
    assert "  for: lovely (+" in words
    assert "content with probability 0." in words


def test_a_text_of_which_nothing_is_known_is_judged_without_confidence(home: Home, run_patron: Run) -> None:
    for text in ("", "   ", "xyzzy"):
        judged = json.loads(run_patron(home, "feedback", text, "--json")[1])
        assert (judged["confidence"], judged["in_favour"], judged["against"], judged["topics"]) == (
            0.5,
            [],
            [],
            [],
        )


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_a_file_is_judged_row_by_row(home: Home, kind: str, run_patron: Run, tmp_path: Path) -> None:
    texts = [
        "the coat is awful quality",
        "",
        '这件衣服 很好, "so" it is',
        "=1+1 lovely",
    ] * 300  # more than go at once
    file, out = (
        written(tmp_path / "new.csv", [(n, text) for n, text in enumerate(texts)], "id,said"),
        tmp_path,
    )
    out = out / f"judged.{kind}"
    code, out_text, _ = run_patron(
        home, "feedback", "--table", file, "--text", "said", "--out", out, "--json"
    )
    done = json.loads(out_text)
    assert code == 0
    assert (done["rows"], done["texts"], done["version"]) == (1200, 900, "1")
    if kind == "csv":
        with open(out, encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert rows[3]["text"].startswith("'=1+1")  # a spreadsheet computes nothing
    elif kind == "ndjson":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    else:
        rows = pq.read_table(out).to_pylist()
    assert [int(row["row"]) for row in rows] == [*range(1, 1201)]
    classifier = open_classifier("1", *Registry(home).files("feedback", "1"))
    judged = judge(classifier, [text for text in texts if text])
    for row, text in zip(rows, texts, strict=True):
        if not text:
            assert row["content"] in ("", None)
            continue
        expected = next(judged)
        assert float(row["content"]) == pytest.approx(expected.probability)
        assert (row["language"], row["feedback_version"]) == (expected.language, "1")
        assert row["against"] == "; ".join(reason.ngram for reason in expected.against)
    assert rows[0]["topics"].startswith("quality ")
    assert done["topics"]["quality"]["texts"] == 300
    assert done["topics"]["quality"]["content"] < 0.3


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (reviews(), ("--text", "body", "--rating", "stars"), "there is no column body; it has review, stars"),
        (reviews(), ("--text", "review", "--rating", "score"), "there is no column score"),
        (reviews(), ("--text", "review", "--rating", "happy"), "happy are not a rating from 1 to 5"),
        (reviews(), ("--text", "review", "--label", "review"), "are not a label, 0 or 1, yes or no"),
        (reviews(), ("--text", "review", "--label", "stars"), "labels are 0 or 1"),
        ([("fine", 9, "no")] * 50, ("--text", "review", "--rating", "stars"), "ratings outside 1 to 5"),
        ([("good", 5, "yes")] * 50, ("--text", "review", "--rating", "stars"), "add texts of both kinds"),
        ([("good", 5, "")] * 50, ("--text", "review", "--label", "happy"), "of 0 texts"),
        ([], ("--text", "review", "--rating", "stars"), "there is no row below the header"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused_in_a_line_and_makes_nothing(
    rows: list[tuple[object, ...]], options: tuple[str, ...], words: str, run_patron: Run, tmp_path: Path
) -> None:
    file, home = written(tmp_path / "reviews.csv", rows), Home(tmp_path / "home")
    code, out, err = run_patron(home, "train", "feedback", "--table", file, *options)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert "unexpected" not in err
    assert not home.mlflow.exists() or Registry(home).versions("feedback") == []


def test_what_cannot_be_judged_is_refused_in_a_line(home: Home, run_patron: Run, tmp_path: Path) -> None:
    file, empty = written(tmp_path / "new.csv", reviews(3)), tmp_path / "empty.csv"
    empty.touch()
    out = tmp_path / "out.csv"
    for table, column, place, words in (
        (file, "body", out, "there is no column body"),
        (file, "review", tmp_path / "out.txt", "must end in .parquet or .ndjson or .csv"),
        (file, "review", tmp_path / "no" / "out.csv", "there is no folder"),
        (empty, "review", out, "the file is empty"),
        (tmp_path / "none.csv", "review", out, "there is no such file"),
    ):
        code, _, err = run_patron(home, "feedback", "--table", table, "--text", column, "--out", place)
        assert (code, err.count("\n")) == (1, 1)
        assert words in err
        assert not place.exists()
