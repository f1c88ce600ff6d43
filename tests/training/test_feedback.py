"""Training of the text classifier: the rows used, measures, gates, and publication."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import reviews
from core.errors import PatronError
from core.home import Home
from models.registry.registry import Registry
from models.text.bundle import open_classifier
from training.texts.pipeline import NAME, Feedback, labelled, learn_feedback, rated, train_feedback

SHARED = Path(__file__).parents[3] / "shared" / "data"
GOOD = (("wonderful", "lovely"), ("很好", "满意"))  # in English and in Chinese
BAD = (("awful", "useless"), ("很差", "失望"))
AROUND = (("the coat is", "my order was", "this lamp is"), ("这件衣服", "这个手机", "昨天买的"))


def table(count: int = 600, seed: int = 1) -> pd.DataFrame:
    rng = random.Random(seed)
    stars = [rng.choice((1, 2, 3, 4, 5)) for _ in range(count)]
    texts = []
    for star in stars:
        of = rng.randrange(2)
        word = rng.choice(GOOD[of] if star > 3 else BAD[of] if star < 3 else GOOD[of] + BAD[of])
        texts.append(f"{rng.choice(AROUND[of])} {word} {rng.randrange(10**6)}")
    return pd.DataFrame({"text": texts, "stars": stars, "label": [int(s > 3) for s in stars]})


def test_three_stars_and_missing_values_are_left_out() -> None:
    rows = pd.DataFrame(
        {
            "text": ["a", "b", "c", "d", None, "f"],
            "stars": [5, 4, 3, 1, 5, None],
            "label": [1, 1, 0, 0, 1, None],
        }
    )
    by_stars, by_label = rated(rows, "text", "stars"), labelled(rows, "text", "label")
    assert (by_stars.texts, by_stars.content.tolist()) == (["a", "b", "d"], [1, 1, 0])
    assert (by_label.texts, by_label.content.tolist()) == (["a", "b", "c", "d"], [1, 1, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stars": "rating"}, "there is no column stars; the table has text, rating, label"),
        ({"text": "body"}, "there is no column text; the table has body, stars, label"),
    ],
)
def test_a_missing_column_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(PatronError, match=message):
        rated(table().rename(columns=change), "text", "stars")


def test_ratings_of_another_scale_or_in_words_are_refused() -> None:
    with pytest.raises(PatronError, match="column stars holds ratings outside 1 to 5"):
        rated(table().assign(stars=90), "text", "stars")
    with pytest.raises(PatronError, match="column stars holds what is not a number"):
        rated(table().assign(stars="fine"), "text", "stars")


def test_the_classifier_is_measured_on_held_out_texts_overall_and_by_language() -> None:
    learnt = learn_feedback(rated(table(), "text", "stars"))
    assert learnt.refusals == ()
    assert learnt.run.metrics["auc"] > 0.95
    assert {"auc_en", "auc_zh", "brier", "log_loss", "calibration_slope"} < set(learnt.run.metrics)
    assert 60 < learnt.run.metrics["held_out_texts"] < 140


def test_the_same_table_gives_the_same_digest() -> None:
    first, again = (learn_feedback(rated(table(), "text", "stars")) for _ in range(2))
    other = learn_feedback(rated(table(seed=2), "text", "stars"))
    assert first.digest == again.digest != other.digest
    assert first.run.tags["data_digest"] == again.run.tags["data_digest"] != other.run.tags["data_digest"]


def test_texts_of_a_single_label_are_refused() -> None:
    rows = table()
    with pytest.raises(PatronError, match="add texts of both kinds"):
        learn_feedback(rated(rows[rows["stars"] > 3], "text", "stars"))
    with pytest.raises(PatronError, match="0 texts"):
        learn_feedback(Feedback([], np.array([])))


@pytest.mark.slow
def test_the_classifier_is_promoted_by_its_gates_and_reloads_exactly(tmp_path: Path) -> None:
    registry = Registry(Home(tmp_path / "home"))
    content = rated(table(), "text", "stars")
    first = train_feedback(registry, content)
    assert (first.name, first.version, first.champion, first.failed_gates) == (NAME, "1", True, ())
    opened = open_classifier("1", *registry.files(NAME, "1"))
    good, bad = opened.predict(["the coat is lovely", "这件衣服很差"]).probability
    assert good > 0.8 > 0.2 > bad

    shuffled = Feedback(content.texts, np.random.default_rng(0).permutation(content.content))
    second = train_feedback(registry, shuffled)
    assert not second.champion
    assert "auc is" in second.failed_gates[0]
    assert [v.champion for v in registry.versions(NAME)] == [False, True]


def test_near_duplicate_reviews_are_never_on_both_sides() -> None:
    file = SHARED / reviews.CHINESE_FILE
    if not file.exists():
        pytest.skip("the Chinese reviews are not in ../shared/data/chinese-reviews")
    result = reviews.chinese(file)
    stored = reviews.held_out(result)
    assert 0.19 < stored.mean() < 0.21
    learnt, request = ({t.strip() for t in result.where(side).texts} for side in (~stored, stored))
    assert len(result.texts) > len(learnt) + len(request)  # some texts are there twice
    assert learnt & request == set()
