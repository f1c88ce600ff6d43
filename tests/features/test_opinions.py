"""What customers' texts say, as features: read alike everywhere, by whom the home names, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from core.errors import PatronError
from core.home import Home
from events.schema import OPINIONS, SCHEMAS
from features.catalogue.definitions import definitions
from features.catalogue.store import Store
from features.groups import FEATURES
from features.offline import build as builds
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.text import opinions
from features.text.classifier import TextClassifier
from features.text.lexicon import LEXICON
from features.text.opinions import TextReader, text_of
from models.questions.propensity import propensity
from training.customers.dataset import gather
from training.customers.pipeline import fit as fit_model

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)
OF_TEXTS = {name for name, feature in FEATURES.items() if feature.group.name == "opinions"}
JUDGED = {"mean_content_365d", "least_content_365d", "last_text_content", "last_text_confidence"}
JUDGED |= {"discontent_share_365d"}


Teach = Callable[[Sequence[str], Sequence[str]], TextClassifier]
GOOD, BAD = ("fine", "lovely", "质量很好", "很满意"), ("poor", "awful", "质量太差", "很失望")


@pytest.fixture(scope="module")
def classifier(taught: Teach) -> TextClassifier:
    return taught(GOOD, BAD)


@pytest.fixture(scope="module")
def another(taught: Teach) -> TextClassifier:
    return taught((*GOOD, "nice"), BAD)


@pytest.fixture
def home(tmp_path: Path, classifier: TextClassifier) -> Home:
    """A home that holds a classifier and nothing else."""
    opinions.install(Home(tmp_path), classifier.to_files())
    return Home(tmp_path)


def activities(*given_value: tuple[str | None, Any]) -> pa.Table:
    """Activities of these kinds and properties."""
    common = {"customer_key": 1, "timestamp": NOON, "received_at": NOON, "day": 19844, "name": "Something"}
    rows = [common | {"kind": kind, "properties": text_value} for kind, text_value in given_value]
    return pa.Table.from_pylist(rows, schema=ibis.schema(SCHEMAS["activities"]).to_pyarrow())


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"review_body": "fine", "text": "poor"}, "fine"),
        ({"review_body": " ", "message": "poor"}, "poor"),
        ({"comment": "质量很好"}, "质量很好"),
        ({"text": 7}, None),
        ({"text": {"text": "fine"}}, None),
        ({"words": "fine"}, None),
        (["fine"], None),
        ("fine", None),
        (None, None),
    ],
)
def test_a_text_is_the_first_property_that_holds_one(properties: Any, text: str | None) -> None:
    assert text_of(json.dumps(properties)) == text
    assert text_of(None) is None


def test_texts_of_both_languages_are_read_and_other_activities_are_not(home: Home) -> None:
    text_value = [
        ("reviewed", '{"review_body": "fine delivery"}'),
        ("complaint_opened", '{"text": "质量太差"}'),
        ("survey_answered", '{"score": 3}'),
        ("page", '{"text": "poor"}'),
        (None, '{"text": "poor"}'),
        ("reviewed", None),
    ]
    read = TextReader.of(home).opinions(activities(*text_value))
    assert read.schema == ibis.schema(OPINIONS).to_pyarrow()
    assert read["topics"].to_pylist() == [",delivery,", ",quality,"]
    content, confidence = (read[name].to_pylist() for name in ("content", "confidence"))
    assert content[0] > 0.8 > 0.2 > content[1]
    assert confidence == [max(share, 1 - share) for share in content]


def test_a_text_says_the_same_alone_and_among_others(home: Home) -> None:
    reader = TextReader.of(home)
    texts = [
        f"{word} {other}" for word in ("fine", "poor", "质量很好") for other in ("", "awful", "lovely", "?")
    ]
    given_value = [("reviewed", json.dumps({"text": text})) for text in texts]
    whole = reader.opinions(activities(*given_value))
    alone = pa.concat_tables([TextReader.of(home).opinions(activities(one)) for one in reversed(given_value)])
    assert (
        reader.opinions(activities(*given_value, *given_value)).to_pylist() == whole.to_pylist() * 2
    )  # known by now
    assert whole.to_pylist() == alone.to_pylist()[::-1]


def test_without_a_classifier_topics_are_known_and_contentment_is_not(tmp_path: Path) -> None:
    read = TextReader.of(Home(tmp_path)).opinions(activities(("reviewed", '{"text": "fine quality"}')))
    (row,) = read.to_pylist()
    assert (row["content"], row["confidence"], row["topics"]) == (None, None, ",quality,")


def test_the_same_classifier_is_the_same_reader_and_another_is_another(
    home: Home, classifier: TextClassifier, another: TextClassifier
) -> None:
    first = definitions(home)
    opinions.install(home, classifier.to_files())
    assert definitions(home) == first
    opinions.install(home, another.to_files())
    now = definitions(home)
    assert {name for name in FEATURES if now[name] != first[name]} == OF_TEXTS
    home.text_classifier.unlink()
    assert len({json.dumps(some) for some in (first, now, definitions(home))}) == 3


def test_a_damaged_classifier_is_told_with_what_to_do(home: Home) -> None:
    home.text_classifier.write_bytes(home.text_classifier.read_bytes()[:-40])
    with pytest.raises(PatronError, match="classifier of texts is damaged; run `patron rollback feedback`"):
        TextReader.of(home).opinions(activities(("reviewed", '{"text": "fine"}')))


# Builds


@pytest.fixture
def built_copy(built_shop: Home, copy_home: Callable[[Home], Home]) -> Home:
    return copy_home(built_shop)


def of_texts(home: Home) -> pd.DataFrame:
    built = snapshots.build(home, monthly=False)
    return built.frame(FEATURES["texts_365d"].group, built.current)


def test_another_classifier_has_the_features_of_texts_computed_anew(
    built_copy: Home, classifier: TextClassifier
) -> None:
    store = Store(built_copy)
    before, known = of_texts(built_copy), store.definitions()
    assert builds.catalogued(store)
    untouched = {p: p.stat().st_mtime_ns for p in built_copy.snapshots.glob("*/feedback-*/*.parquet")}
    opinions.install(built_copy, classifier.to_files())
    assert not builds.catalogued(store)
    builds.build(built_copy, monthly=False)
    assert builds.catalogued(store)
    changed = {name for name, definition in store.definitions().items() if definition != known[name]}
    assert changed == OF_TEXTS
    after = of_texts(built_copy)
    assert (after["texts_365d"] == before["texts_365d"]).all()
    assert not after["mean_content_365d"].equals(before["mean_content_365d"])
    assert untouched.items() <= {p: p.stat().st_mtime_ns for p in untouched}.items()


def test_a_model_that_learnt_from_one_reader_refuses_another(
    built_copy: Home, classifier: TextClassifier
) -> None:
    built, store = snapshots.build(built_copy), Store(built_copy)
    model = replace(propensity, features=(FEATURES["recency_days"], FEATURES["last_text_content"]))
    moments = built.as_ofs[-4:-2]
    fitted = fit_model(gather(store, model, moments, 30, built.current), False, "1")
    fitted.check_definitions(store.definitions())
    opinions.install(built_copy, classifier.to_files())
    builds.build(built_copy, monthly=False)
    with pytest.raises(PatronError, match="other definitions of last_text_content than"):
        fitted.check_definitions(store.definitions())


def test_a_build_without_a_classifier_leaves_out_what_only_it_can_tell(built_copy: Home) -> None:
    before = of_texts(built_copy)
    built_copy.text_classifier.unlink()
    now = of_texts(built_copy)
    assert now[[*JUDGED]].isna().all(axis=None)
    assert before[[*JUDGED]].notna().any().all()
    assert now["top_topic_365d"].equals(before["top_topic_365d"])
    assert 0 < now["delivery_complaints_365d"].sum() <= before["delivery_complaints_365d"].sum()


def test_a_classifier_that_is_replaced_during_a_build_fails_it(
    built_copy: Home, classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = snapshots.build

    def meanwhile(*given: Any) -> SnapshotSet:
        built = build(*given)
        opinions.install(built_copy, classifier.to_files())
        return built

    monkeypatch.setattr(snapshots, "build", meanwhile)
    with pytest.raises(PatronError, match="promoted meanwhile; run `patron build` again"):
        builds.build(built_copy, monthly=False)


def test_features_keep_topics_and_numbers_of_texts_and_no_words(built_shop: Home) -> None:
    texts = of_texts(built_shop).select_dtypes("object")
    assert set(texts) == {"top_topic_365d", "top_complaint_topic_365d"}
    assert {topic for name in texts for topic in texts[name].dropna()} <= {*LEXICON}


def test_a_notebook_reads_texts_as_a_build_does(built_shop: Home) -> None:
    from events.identity import Identity

    built = snapshots.build(built_shop)
    stored = built.frame(FEATURES["texts_365d"].group, built.current).set_index("customer_key")
    chosen = stored[stored["texts_365d"] > 0].index[:20]
    names = Identity(built_shop).ids([int(key) for key in chosen])
    table = pd.DataFrame({"customer_id": [names[key] for key in chosen], "as_of": built.current})
    result = snapshots.snapshot(table, sorted(OF_TEXTS), built_shop)
    for name in OF_TEXTS:
        assert result[name].tolist() == stored.loc[chosen, name].tolist(), name
