"""What customers write, in English and Chinese: sentiment and topics, on made-up reviews."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from core.errors import PatronError
from features.text.classifier import PARAMETERS, TERMS, Settings, TextClassifier, counts, unit_rows
from features.text.lexicon import LEXICON
from features.text.tokens import MAX_CHARACTERS, language, ngrams, tokens
from features.text.topics import mentions, shares
from models.estimators.trees import CalibratedTrees
from models.measures.metrics import auc, calibration_slope, sigmoid
from models.registry.bundle import MANIFEST, digest, pack, sealed
from models.text.bundle import open_classifier
from models.text.learning import fit, folds, scales_of

PRAISE = (
    "I love it",
    "fits perfectly",
    "great quality",
    "very soft and warm",
    "很喜欢",
    "质量很好",
    "非常满意",
)
BLAME = (
    "not happy at all",
    "fell apart",
    "poor quality",
    "way too small",
    "很失望",
    "质量太差",
    "不值这个价",
)
NEUTRAL = (
    "I bought this coat",
    "for my sister",
    "in blue",
    "the parcel came on Monday",
    "买了一件",
    "昨天收到",
    "蓝色的",
)


def reviews(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Reviews of both languages that say what their authors think, one in ten of them the opposite."""
    rng = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        content, chinese = rng.random() < 0.5, rng.random() < 0.5
        text_value = [p for p in (PRAISE if content else BLAME) if p.isascii() is not chinese]
        other = [p for p in NEUTRAL if p.isascii() is not chinese]
        parts = [*rng.sample(text_value, 1), *rng.sample(other, 2)]
        rng.shuffle(parts)
        texts.append(("，" if chinese else ", ").join(parts) + f" {rng.randrange(10**6)}")
        labels.append(int(content is not (rng.random() < 0.1)))
    return texts, labels


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return fit(*reviews(600, seed=1))


def test_it_tells_content_customers_from_others_in_both_languages(classifier: TextClassifier) -> None:
    texts, labels = reviews(600, seed=2)
    outcome, probability = np.array(labels, np.float64), classifier.predict(texts).probability
    for code in ("en", "zh"):
        of_it = np.array([language(text) == code for text in texts])
        assert of_it.sum() > 200
        assert auc(outcome[of_it], probability[of_it]) > 0.85  # a tenth says the opposite of what they think
    assert 0.7 < calibration_slope(outcome, probability) < 1.4


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("great quality", "poor quality"),
        ("质量很好", "质量太差"),
        ("The coat fits perfectly!", "The coat fell apart!"),
        ("GREAT QUALITY", "ＰＯＯＲ　ＱＵＡＬＩＴＹ"),
    ],
)
def test_what_praises_scores_above_what_blames(classifier: TextClassifier, better: str, worse: str) -> None:
    high, low = classifier.predict([better, worse]).probability
    assert high > 0.7 > 0.3 > low


def test_case_width_and_apostrophes_change_nothing(classifier: TextClassifier) -> None:
    plain, *others = classifier.raw(["i don't love it!", "I DON’T LOVE IT！", "ｉ ｄｏｎ'ｔ ｌｏｖｅ ｉｔ!"])
    assert others == [plain, plain]


def test_negation_is_read_with_what_it_negates() -> None:
    text_value = [f"{way} {i}" for i in range(30) for way in ("it is good", "it is not bad", "很好", "不差")]
    blamed = [f"{way} {i}" for i in range(30) for way in ("it is bad", "it is not good", "很差", "不好")]
    learnt = fit(text_value + blamed, [1] * len(text_value) + [0] * len(blamed))
    probability = learnt.predict(["not bad", "not good", "不差", "不好"]).probability
    assert (probability > 0.5).tolist() == [True, False, True, False]


def test_explanations_add_up_to_the_raw_score(classifier: TextClassifier) -> None:
    texts, _ = reviews(50, seed=3)
    for text, raw, probability in zip(
        texts, classifier.raw(texts), classifier.predict(texts).probability, strict=True
    ):
        given = classifier.explain(text, top=3)
        text_value = sum(reason.contribution for reason in (*given.in_favour, *given.against))
        assert given.raw_score == pytest.approx(raw, abs=1e-12)
        assert given.base + text_value + given.rest == pytest.approx(raw, abs=1e-12)
        assert sigmoid(np.array([given.raw_score]))[0] == pytest.approx(probability, abs=1e-12)
        assert all(reason.contribution > 0 for reason in given.in_favour)
        assert all(reason.contribution < 0 for reason in given.against)
        assert len(given.in_favour) <= 3 >= len(given.against)


def test_explanations_name_the_words_that_spoke_as_they_are_written(classifier: TextClassifier) -> None:
    english = classifier.explain("poor quality, but I love it")
    assert any("love" in reason.ngram for reason in english.in_favour)
    assert any("poor" in reason.ngram for reason in english.against)
    chinese = classifier.explain("质量太差")
    assert any("差" in reason.ngram for reason in chinese.against)
    assert all(" " not in reason.ngram for reason in (*chinese.in_favour, *chinese.against))


def test_without_a_known_word_there_is_no_confidence(classifier: TextClassifier) -> None:
    nothing = [None, float("nan"), "", "  \n", "zyxw vuts", "😀", "\ud800", "ไม่รู้"]
    given = classifier.predict(nothing)
    assert given.confidence.tolist() == [0.5] * len(nothing)
    assert np.unique(given.probability).tolist() == [sigmoid(np.array([classifier.intercept]))[0]]
    assert classifier.explain(None).raw_score == classifier.intercept


def test_confidence_is_the_probability_of_the_likelier_label(classifier: TextClassifier) -> None:
    given = classifier.predict(["I love it", "fell apart"])
    assert given.confidence.tolist() == [given.probability[0], 1 - given.probability[1]]


def test_a_text_of_a_megabyte_is_read_to_a_bound(classifier: TextClassifier) -> None:
    words = "I love it " * 100_000
    assert classifier.raw([words]) == classifier.raw([words[:MAX_CHARACTERS]])
    assert classifier.predict(["很" * 350_000, "😀" * 250_000, "﷽" * 300_000]).probability.shape == (3,)


def test_neither_order_nor_company_changes_a_score(classifier: TextClassifier) -> None:
    texts, _ = reviews(40, seed=4)
    together = classifier.raw(texts)
    assert classifier.raw(texts[::-1]).tolist() == together[::-1].tolist()
    assert [classifier.raw([text])[0] for text in texts] == together.tolist()
    assert classifier.predict([]).probability.tolist() == []


def test_what_is_written_opens_as_what_it_was(classifier: TextClassifier) -> None:
    files = sealed({"model": "feedback"}, classifier.to_files())
    opened = open_classifier("1", files, digest(files[MANIFEST]))
    texts, _ = reviews(100, seed=5)
    assert opened.raw(texts).tolist() == classifier.raw(texts).tolist()
    assert opened.explain(texts[0]) == classifier.explain(texts[0])
    assert opened.to_files() == classifier.to_files()
    assert opened.settings == classifier.settings


@pytest.mark.parametrize("name", [TERMS, PARAMETERS, MANIFEST])
def test_a_file_that_was_changed_is_refused(classifier: TextClassifier, name: str) -> None:
    files = sealed({"model": "feedback"}, classifier.to_files())
    manifest_digest = digest(files[MANIFEST])
    with pytest.raises(PatronError, match=f"version 7 is refused: {name}"):
        open_classifier("7", files | {name: files[name] + b" "}, manifest_digest)


def test_a_model_of_customers_is_no_classifier_of_texts() -> None:
    x = np.linspace(0, 1, 200)[:, None]
    trees = CalibratedTrees(rounds=2).fit(x, np.tile([0.0, 1.0], 100), np.arange(200), [])
    files = pack({"model": "churn"}, trees, {})
    with pytest.raises(PatronError, match="version 3 does not read texts"):
        open_classifier("3", files, digest(files[MANIFEST]))


def test_the_same_texts_give_the_same_files_to_the_last_bit(classifier: TextClassifier) -> None:
    assert fit(*reviews(600, seed=1)).to_files() == classifier.to_files()
    assert fit(*reviews(600, seed=6)).to_files() != classifier.to_files()


def test_only_the_terms_that_matter_most_are_kept(classifier: TextClassifier) -> None:
    small = fit(*reviews(600, seed=1), replace(Settings(), most_terms=40))
    assert len(small.terms) == 40 < len(classifier.terms)
    texts, labels = reviews(300, seed=7)
    assert auc(np.array(labels), small.raw(texts)) > 0.75
    assert json.loads(small.to_files()[PARAMETERS])["settings"]["most_terms"] == 40


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["good"] * 40, [1] * 40, "40 texts have label 1 and 0 have label 0, and it takes 10 of each"),
        ([], [], "0 texts have label 1"),
        (["good", "bad"] * 20, [1, 2] * 20, "some are neither"),
        (["good", "bad"] * 20, [1, float("nan")] * 20, "some are neither"),
        (["good", "bad"] * 20, ["yes", None] * 20, "some are neither"),
        (["good", "bad"] * 20, [1] * 7, "40 texts and 7 labels"),
        (["", None] * 20, [1, 0] * 20, "nothing to learn from"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_told(
    texts: list[str | None], labels: list[object], message: str
) -> None:
    with pytest.raises(PatronError, match=message):
        fit(texts, labels)


def test_missing_texts_among_others_are_learnt_from_as_empty_ones() -> None:
    learnt = fit([*(["好 吗"] * 5), None, float("nan"), *([""] * 33)], [1, 0] * 20)
    assert np.isfinite(learnt.raw(["好", "", None])).all()


def test_where_nothing_can_be_told_every_text_has_the_share_of_the_label() -> None:
    texts, labels = reviews(400, seed=8)
    rng = random.Random(0)
    drawn = [int(rng.random() < 0.75) for _ in labels]
    learnt = fit(texts, drawn)
    assert abs(learnt.predict(texts).probability - 0.75).max() < 0.15
    few = [
        "good",
        "not good",
        "bad",
        "not bad",
    ] * 20  # no text is like another: each is scored by its opposite
    given = fit(few, [1, 0, 0, 1] * 20).predict([*few, "other"]).probability
    assert given == pytest.approx(np.full(81, 0.5))


def test_a_few_texts_that_are_easily_told_apart_leave_room_for_doubt() -> None:
    texts = [f"{word} {i}" for i in range(12) for word in ("good", "bad")]
    probability = fit(texts, [1, 0] * 12).predict(["good", "bad"]).probability
    assert 0.85 < probability[0] < 0.99
    assert 0.01 < probability[1] < 0.15


def test_texts_that_are_alike_are_in_the_same_fold() -> None:
    alike = ["Great quality!!", "great  quality", "GREAT-QUALITY…", "ｇｒｅａｔ quality 😀"]
    assert len(set(folds(alike, 1000).tolist())) == 1
    many = folds([f"text {i}" for i in range(2000)], 5)
    assert sorted(set(many.tolist())) == [0, 1, 2, 3, 4]
    assert np.bincount(many).min() > 300
    assert (folds([f"text {i}" for i in range(2000)], 5, "other") != many).mean() > 0.5


def test_a_term_counts_more_the_more_the_labels_differ_and_a_rare_one_little() -> None:
    settings = Settings(smoothing=10, contrast=1)
    texts = ["even telling"] * 50 + ["even"] * 50 + ["rare"]
    result = counts(texts, {"even": 0, "telling": 1, "rare": 2}, settings)
    outcome = np.array([1.0] * 50 + [0.0] * 50 + [1.0])
    plain = scales_of(result, outcome, replace(settings, contrast=0))
    telling = scales_of(result, outcome, settings) / plain
    assert telling[1] > 2 > 1.2 > telling[2] > telling[0] >= 1
    assert plain == pytest.approx(np.log(102 / np.array([101, 51, 2])) + 1)


def test_a_text_is_a_vector_of_length_1() -> None:
    result = counts(["a a b", "", "c"], {"a": 0, "b": 1}, Settings())
    values = unit_rows(result, np.array([1.0, 2.0])).toarray()
    tf = 1 + np.log(2)
    assert values[0] == pytest.approx(np.array([tf, 2]) / np.hypot(tf, 2))
    assert values[1:].tolist() == [[0, 0], [0, 0]]


def test_words_and_characters_are_tokens_by_their_script() -> None:
    assert tokens("Don’t buy：iPhone15手机，差！😀") == [
        "don't", "buy", ":", "iphone", "15", "手", "机", ",", "差", "!", "😀",
    ]  # fmt: skip
    assert tokens("order 1234567, 5 stars, 2026, +4915112345678") == [
        "order",
        ",",
        "5",
        "stars",
        ",",
        "2026",
        ",",
        "+",
    ]
    assert ngrams(["a", "b", "c"], 2, 4) == ["a", "b", "c", "a b", "b c"]
    assert ngrams(["手", "机", "好"], 1, 3) == ["手", "机", "好", "手 机", "机 好", "手 机 好"]
    assert ngrams(["很", "good", "好", "用"], 1, 2) == ["很", "good", "好", "用", "很 good", "好 用"]
    assert ngrams([], 3, 4) == []


def test_the_language_is_told_by_the_script() -> None:
    given = {
        "I like it": "en",
        "很喜欢": "zh",
        "iPhone 手机很好": "zh",
        "très bien": "en",
        "15 !": None,
        "": None,
    }
    assert {text: language(text) for text in given} == given
    assert language(None) is None


def test_topics_are_told_with_the_words_and_clauses_that_made_them() -> None:
    result = {m.topic: m for m in mentions("Shipping was fast. The fabric is itchy, and it runs small!")}
    assert list(result) == ["delivery", "material", "size and fit"]
    assert result["material"].words == ("fabric", "itchy")
    assert result["material"].passage == "the fabric is itchy,"
    assert result["size and fit"].words == ("runs small",)
    chinese = {m.topic: m.passage for m in mentions("快递很快，但是质量太差了，客服态度也不好")}
    assert chinese == {"delivery": "快递很快,", "quality": "但是质量太差了,", "service": "客服态度也不好"}


def test_the_sentiment_of_a_topic_is_that_of_its_clauses(classifier: TextClassifier) -> None:
    good, bad = (m.passage for m in mentions("包装非常满意，质量太差") if m.topic in ("packaging", "quality"))
    high, low = classifier.predict([good, bad]).probability
    assert high > 0.5 > low


def test_topics_are_words_and_not_parts_of_words() -> None:
    assert mentions("an outfit for the sunshine, a relationship") == ()
    assert mentions("") == mentions(None) == mentions("😀") == ()
    assert [m.topic for m in mentions("质量quality")] == ["quality"]
    assert mentions("the zip is stuck", {"zips": ("zip*",)})[0].words == ("zip",)


def test_no_phrase_is_of_two_topics_and_each_is_found_as_it_is_written() -> None:
    phrases = [phrase for given in LEXICON.values() for phrase in given]
    assert len(phrases) == len(set(phrases))
    for topic, given in LEXICON.items():
        for phrase in given:
            assert topic in {m.topic for m in mentions(phrase.replace("*", ""))}, phrase


def test_shares_of_topics_are_of_all_texts() -> None:
    result = shares(["fast delivery", "快递", "nothing", None])
    assert result["delivery"] == 0.5
    assert sum(result.values()) == 0.5
    assert set(shares([]).values()) == {0.0}
