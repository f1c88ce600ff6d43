"""Portraits and lists of customers: facts, measures and words, and the service that tells them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import ibis.expr.types as ir
import pytest

import records as logs
from core.calendar import date_of
from core.home import Home
from core.shop import Clock, Shop
from events import lake
from events.identity import Identity
from features.group import FeatureGroup
from features.groups import FEATURES, GROUPS
from models.explain.words import band
from models.questions import MODELS
from models.questions.next_order import HORIZON_DAYS, Rates, rates_of
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from records.batches import ORDER_PARTS
from serving.customers.portrait import measures, portray
from serving.customers.portrait_text import describe
from serving.customers.schemas import Measures
from serving.scores.score import Score, ScoredCustomer

Get = Callable[..., httpx.Response]
Facts = dict[str, Any]
MEASURES = [name for name in Measures.model_fields if name != "missing" and not name.endswith("_days")] + [
    "average_days_between_orders"
]


@pytest.fixture(scope="module")
def portraits(get: Get, present_facts: dict[str, Facts]) -> dict[str, dict[str, Any]]:
    """The portraits of every fifth customer, as the service tells them."""
    result = {}
    for customer_id in list(present_facts)[::5]:
        response = get(f"/v1/customers/{customer_id}")
        assert response.status_code == 200, response.text
        result[customer_id] = response.json()
    assert len(result) > 100
    return result


# The portrait over HTTP


def test_a_portrait_holds_every_fact_with_its_unit_and_meaning(
    portraits: dict[str, dict[str, Any]], present_facts: dict[str, Facts]
) -> None:
    for customer_id, portrait in portraits.items():
        assert portrait["customer_id"] == customer_id
        assert (portrait["reason"], portrait["currency"]) == (None, "EUR")
        assert portrait["features_as_of"] == "2024-07-01T09:30:00Z"
        assert list(portrait["facts"]) == [group.name for group in GROUPS]
        given_value = {name: fact for group in portrait["facts"].values() for name, fact in group.items()}
        assert {name: fact["value"] for name, fact in given_value.items()} == present_facts[customer_id]
        segments = [f.name for f in FEATURES.values() if (f.group.name, f.dtype) == ("segments", "string")]
        assert portrait["segments"] == {name: given_value[name]["value"] for name in segments}
        assert portrait["stage"] == portrait["segments"].get("lifecycle_stage")
        for name, fact in given_value.items():
            assert fact["unit"] == FEATURES[name].unit.replace("currency", "EUR")
            assert " ".join(FEATURES[name].description.split()).startswith(fact["meaning"])
            assert fact["meaning"].endswith(".")


def test_its_scores_are_those_of_the_scores_route_with_reasons(
    portraits: dict[str, dict[str, Any]], served: Home
) -> None:
    from records import ScoreLog
    from serving.scores.scorer import open_scorer

    with ScoreLog(served) as log:
        entries = open_scorer(served, log).score(list(portraits))
    for entry in entries:
        scores = portraits[entry.customer_id]["scores"]
        assert list(scores) == list(entry.scores)
        for name, score in entry.scores.items():
            given_value = scores[name]
            assert (given_value["score"], given_value["percentile"]) == (score.score, score.percentile)
            assert (given_value["version"], given_value["reason"]) == (score.version, score.reason)
            if score.score is None:
                assert (given_value["base"], given_value["reasons"], given_value["rest"]) == (None, [], None)
            else:
                parts = [reason["contribution"] for reason in given_value["reasons"]]
                assert given_value["base"] + sum(parts) + given_value["rest"] == pytest.approx(
                    score.score, abs=1e-9
                )
                assert len(parts) <= 4
                assert given_value["summary"][-1].startswith("Together: ")
                assert given_value["rank"] in portraits[entry.customer_id]["portrait"]
                assert portraits[entry.customer_id]["bands"][name] == band(score.percentile)
                for reason in given_value["reasons"]:
                    assert re.search(r": [+−]\S+ (points?|EUR)$", reason["words"])


def test_its_measures_are_what_the_events_say(portraits: dict[str, dict[str, Any]], served: Home) -> None:
    """Held against the lake itself, computed another way."""
    now = served.shop().now()
    events = lake.read(served, lake.connect()).known_at(now)
    lines, refunds = events.order_lines.to_pandas(), events.refunds.to_pandas()
    keys = Identity(served).keys(list(portraits))
    of = dict(list(lines.groupby("customer_key")))
    given_back = refunds.groupby("customer_key")["amount"].sum()
    rates, today, due = rates_of(Registry(served).champion("propensity").manifest), served.shop().today(), 0
    assert rates is not None
    for customer_id, given_value in portraits.items():
        own = of.get(keys[customer_id], lines.iloc[:0])
        paid, back = float(own["amount"].sum()), float(given_back.get(keys[customer_id], 0))
        days = own.groupby("order_id")["day"].min().sort_values()
        gaps = days.diff().dropna()
        assert given_value["historic_number_of_orders"] == len(days)
        assert given_value["historic_clv"] == pytest.approx(paid - back, abs=1e-4)
        if len(days):
            assert given_value["average_order_value"] == pytest.approx(paid / len(days))
            assert given_value["known_since"] <= date_of(int(days.min())).isoformat()
        if len(days) > 1:
            assert given_value["average_days_between_orders"] == pytest.approx(gaps.mean())
        since = today - int(days.max()) if len(days) else None
        assert (given_value["expected_date_of_next_order"] is not None) == (
            since is not None and since <= 180
        )
        if since is not None and since <= 180:
            wait = rates.wait(len(days), since, today - int(days.min()))
            assert given_value["expected_date_of_next_order"] == date_of(today + int(wait)).isoformat()
            due += len(days) == 1
        if given_value["predicted_clv"] is not None:
            total = given_value["historic_clv"] + given_value["predicted_clv"]
            assert given_value["total_clv"] == pytest.approx(total, abs=1e-4)
            score = given_value["scores"]["clv"]
            bounds = [given_value[name] for name in ("predicted_clv_low", "predicted_clv_high")]
            assert bounds == [score["low"], score["high"]]
            assert bounds[0] <= given_value["predicted_clv"] <= bounds[1]
            parts = [given_value[f"predicted_clv_{name}"] for name in ORDER_PARTS]
            assert parts == [score[name] for name in ORDER_PARTS]
            assert parts[0] * parts[1] == pytest.approx(given_value["predicted_clv"])
        assert given_value["next_order_horizon_days"] == HORIZON_DAYS
        assert given_value["churn_horizon_days"] == MODELS["churn"].horizon_days
        assert given_value["order_horizon_days"] == MODELS["propensity"].horizon_days
        assert (
            given_value["predicted_clv_horizon_days"]
            == Registry(served).champion("clv").manifest["horizon_days"]
        )
    assert due > 5


def test_every_null_has_its_reason(portraits: dict[str, dict[str, Any]]) -> None:
    reasons = set()
    for given_value in portraits.values():
        assert set(given_value["missing"]) == {name for name in MEASURES if given_value[name] is None}
        reasons |= {(name, why.split(" on 2")[0]) for name, why in given_value["missing"].items()}
    assert ("average_order_value", "has not ordered yet") in reasons
    assert ("average_days_between_orders", "has ordered once") in reasons
    assert ("total_clv", "has not ordered yet") in reasons
    dates = {why.split(":")[0] for name, why in reasons if name == "expected_date_of_next_order"}
    assert dates == {"has not ordered yet", "has lapsed"}
    assert ("predicted_clv_low", "has not ordered yet") in reasons


def test_it_is_told_in_two_to_five_sentences_in_either_language(
    portraits: dict[str, dict[str, Any]], get: Get
) -> None:
    for customer_id, given_value in portraits.items():
        text = given_value["portrait"]
        assert text.startswith(f"Customer {customer_id} (")
        assert 2 <= len(re.findall(r"\.(?= |$)", text)) <= 5
        assert not re.search(r"\b1 (orders|days)\b|None|nan|  |\(\)|{|}", text)
    for customer_id in list(portraits)[::20]:
        chinese = get(f"/v1/customers/{customer_id}", params={"language": "zh"}).json()
        assert chinese["portrait"].startswith(f"客户 {customer_id}（")
        assert 2 <= chinese["portrait"].count("。") <= 5
        assert not re.search(r"None|nan|（）|{|}", chinese["portrait"])
        in_words = {"portrait": "", "bands": {}}
        assert chinese | in_words == portraits[customer_id] | in_words
        assert chinese["bands"] == {
            name: band(score["percentile"], "zh")
            for name, score in chinese["scores"].items()
            if score["percentile"] is not None
        }


def test_what_is_told_is_logged_and_counted_as_what_was_answered(
    trained_copy: Home,
    answering: Any,
    refused: Any,
    present_facts: dict[str, Facts],
    portraits: Any,  # by another service of this process, which has its own counters
) -> None:
    customer_id = next(iter(present_facts))
    with answering(trained_copy) as get:
        body = get(f"/v1/customers/{customer_id}").json()
        refused(get("/v1/customers/nobody"), "unknown customer", 404)
        metrics = get("/metrics").text
    span = datetime(2024, 6, 30, tzinfo=UTC), datetime(2024, 7, 2, tzinfo=UTC)
    result = logs.read(trained_copy, *span, lake.connect())
    assert result.answers == 1
    (row,) = result.vectors.to_pandas().to_dict("records")
    assert row["clv.score"] == body["scores"]["clv"]["score"]
    assert set(Registry(trained_copy).champion("clv").features) <= set(row)
    outcomes = {name: "refused" if s["score"] is None else "scored" for name, s in body["scores"].items()}
    assert {line for line in metrics.splitlines() if line.startswith("patron_answers_total")} == {
        f'patron_answers_total{{model="{name}",outcome="{outcome}"}} 1.0'
        for name, outcome in outcomes.items()
    }
    assert 'route="/v1/customers/{customer_id:path}",status="404"' in metrics
    assert customer_id not in metrics


def test_strange_ids_are_known_or_not_and_never_an_error(
    trained_copy: Home, answering: Any, refused: Any
) -> None:
    strange = [
        "A/7",
        "a/timeline/b",
        "客户 1",
        "Zoë \N{SNOWMAN}",
        "a?b=c&d#e",
        "100%",
        "..",
        "x" * 200,
    ]
    Identity(trained_copy).assign(strange)
    with answering(trained_copy) as get:
        for customer_id in strange:
            path = "/v1/customers/" + "".join(f"%{byte:02X}" for byte in customer_id.encode())
            body = get(path).json()
            assert body["customer_id"] == customer_id
            assert (body["facts"], body["features_as_of"], body["segments"]) == (None, None, {})
            assert "patron build" in body["reason"]
            assert set(body["missing"]) == {*MEASURES}
            assert set(body["missing"].values()) == {body["reason"]}
            assert {score["score"] for score in body["scores"].values()} == {None}
            assert body["portrait"] == f"Customer {customer_id} is known, and nothing else is told yet."
            assert get(f"{path}/timeline").json()["events"] == []
            refused(get(f"{path}?language=fr"), "'en' or 'zh'")
            refused(get(f"{path}?langauge=zh"), "not permitted")
        for unknown in ("nobody", "%00", "%ff%fe", "a%2Fb", "%E5%AE%A2", "y" * 200, "%2e%2e%2fetc"):
            refused(get(f"/v1/customers/{unknown}"), "unknown customer", 404)
        refused(get(f"/v1/customers/{'x' * 201}"), "at most 200")
        refused(get("/v1/customers/"), "at least 1")


def test_where_nothing_was_trained_the_facts_are_told_all_the_same(
    built_shop: Home, copy_home: Callable[[Home], Home], answering: Any, present_facts: dict[str, Facts]
) -> None:
    customer_id = next(iter(present_facts))
    with answering(copy_home(built_shop)) as get:
        body = get(f"/v1/customers/{customer_id}").json()
    assert body["facts"]["purchases"]["orders_total"]["value"] == present_facts[customer_id]["orders_total"]
    assert body["historic_clv"] is not None
    for name in ("predicted_clv", "total_clv", "churn_probability", "order_probability"):
        assert body[name] is None
        assert "was never trained" in body["missing"][name]
    assert body["predicted_clv_horizon_days"] is None
    assert body["portrait"].endswith("No model has a score for them.")


# Measures and words, without a shop


SHOP = Shop("test", "Europe/Berlin", "EUR", Clock(datetime(2024, 6, 30, 22, 30, tzinfo=UTC)))  # 1 July there
NONE = Score(None, reason="was never trained")


def entry(**facts: Any) -> ScoredCustomer:
    given = {"orders_total": 4, "recency_days": 10, "tenure_days": 100, "median_gap_days": 24.0}
    given |= {"known_days": 120, "spend_total": 200.1, "refunded_total": 0.3, "average_order_value": 50.03}
    scores = dict.fromkeys(("churn", "propensity", "clv"), NONE)
    values = {name: [value] for name, value in (given | facts).items()}
    return ScoredCustomer("C1", True, None, SHOP.now(), scores, values=values)


def measured(**facts: Any) -> Measures:
    given_value = entry(**facts)
    return measures(given_value, given_value.facts, {}, SHOP)


def test_days_are_the_shops() -> None:
    given_value = measured()
    assert given_value.known_since == date(2024, 7, 1) - timedelta(days=120)
    assert measured(known_days=None).known_since == date(2024, 7, 1) - timedelta(days=100)
    assert measured(known_days=None, tenure_days=None).missing["known_since"]
    assert given_value.historic_clv == 199.8
    assert given_value.average_days_between_orders == 30
    assert given_value.expected_date_of_next_order == date(2024, 7, 15)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"median_gap_days": 10.0}, date(2024, 7, 1)),
        ({"median_gap_days": 9.0}, "overdue: by the customer's own rhythm it was due on 2024-06-30"),
        ({"orders_total": 3}, date(2024, 7, 15)),
        ({"orders_total": 2}, "fewer than 3 orders make no rhythm"),
        ({"orders_total": 0, "recency_days": None}, "has not ordered yet"),
        ({"recency_days": 180, "tenure_days": 900, "median_gap_days": 400.0}, date(2025, 2, 6)),
        ({"recency_days": 181, "tenure_days": 900, "median_gap_days": 400.0},
         "has lapsed: no order in the last 180 days"),
    ],
)  # fmt: skip
def test_the_next_order_is_expected_by_the_customers_own_rhythm_or_not_at_all(
    given: Facts, expected: date | str
) -> None:
    given_value = measured(**given)
    result = given_value.expected_date_of_next_order or given_value.missing["expected_date_of_next_order"]
    assert result == expected


def test_later_the_same_facts_may_make_it_overdue() -> None:
    """Features were built on 1 July, and the clock went on."""
    later = replace(SHOP, clock=Clock(datetime(2024, 7, 15, 22, 30, tzinfo=UTC)))
    given_value = measures(entry(), entry().facts, {}, later)
    assert "overdue" in given_value.missing["expected_date_of_next_order"]
    assert given_value.known_since == date(2024, 3, 3)


def test_the_next_order_is_expected_by_the_shops_rates_where_they_are_known() -> None:
    rates = {"r": 1.0, "alpha": 20.0}
    given_value = entry()
    model = FittedModel("1", {"horizon_days": 30, "next_order": rates}, None, {})  # type: ignore[arg-type]
    later = replace(SHOP, clock=Clock(datetime(2024, 7, 15, 22, 30, tzinfo=UTC)))
    for shop, days in ((SHOP, 0), (later, 15)):
        result = measures(given_value, given_value.facts, {"propensity": model}, shop)
        due = date(2024, 7, 1) + timedelta(days=days + int(Rates(**rates).wait(4, 10 + days, 100 + days)))
        assert (result.expected_date_of_next_order, result.next_order_horizon_days) == (due, 180)
    assert due == date(2024, 8, 9)
    words = {
        language: describe("C1", given_value.facts, result, "EUR", language) for language in ("en", "zh")
    }
    assert words["en"].endswith(
        " Half of such customers who order within 180 days have done so by 9 August 2024."
    )
    assert words["zh"].endswith(
        "预计下次下单日：2024年8月9日（在 180 天内会下单的同类客户中，有一半不晚于该日下单）。"
    )


def test_a_version_without_intervals_tells_the_score_alone() -> None:
    given_value = entry()
    scored = replace(given_value, scores=given_value.scores | {"clv": Score(12.5, 50.0, "1")})
    result = measures(scored, scored.facts, {}, SHOP)
    assert (result.predicted_clv, result.predicted_clv_low, result.predicted_clv_high) == (12.5, None, None)
    assert result.missing["predicted_clv_high"] == "this version of clv tells no interval"
    assert result.predicted_clv_probability_of_order is result.predicted_clv_amount_if_order is None
    missing = result.missing["predicted_clv_amount_if_order"]
    assert missing == "this version of clv has no probability of an order"


BEST = {
    "country": "DE", "acquisition_channel": "search", "lifecycle_stage": "loyal",
    "favourite_category": "tea {0}", "favourite_category_share": 0.644,
}  # fmt: skip
SCORES = {
    "order_probability": 0.62, "order_horizon_days": 30, "churn_probability": 0.004,
    "churn_horizon_days": 180, "predicted_clv": 1234.4, "predicted_clv_horizon_days": 365,
}  # fmt: skip
ONLY_ORDER = {"churn_probability": None, "predicted_clv": None, "expected_date_of_next_order": None}
ONCE = {"historic_number_of_orders": 1, "average_days_between_orders": None} | ONLY_ORDER
PARTS = {
    "predicted_clv": 100.8, "predicted_clv_probability_of_order": 0.72,
    "predicted_clv_amount_if_order": 140.0,
}  # fmt: skip
TWICE = {"historic_number_of_orders": 2, "average_days_between_orders": 0.0} | ONLY_ORDER


@pytest.mark.parametrize(
    ("facts", "changed", "language", "sentences"),
    [
        (
            BEST,
            {},
            "en",
            [
                "Customer C{1} (DE, came through search, stage: loyal) has been known since 3 March 2024"
                " and has placed 4 orders, about one every 30 days, the latest 10 days ago.",
                " They have brought 200 EUR after refunds, with orders of 50.03 EUR on average, and spend"
                " most on tea {0} (64%).",
                " The models put an order within 30 days at 62%, no order within 180 days at less than 1%"
                " and what they bring within 365 days at 1,234 EUR.",
                " By their own rhythm the next order is due on 15 July 2024.",
            ],
        ),
        (
            {"recency_days": 0},
            TWICE | PARTS,
            "en",
            [
                "Customer C{1} has been known since 3 March 2024 and has placed 2 orders, all on one day,"
                " the latest today.",
                " They have brought 200 EUR after refunds, with orders of 50.03 EUR on average.",
                " The models put an order within 30 days at 62% and what they bring within 365 days at"
                " 101 EUR.",
                " They order again within 365 days with a probability of 72%, then for about 140 EUR.",
            ],
        ),
        (
            {"recency_days": 0},
            TWICE | PARTS | {"predicted_clv_probability_of_order": 0.996},
            "zh",
            [
                "客户 C{1}于 2024年3月3日建档，共下过 2 单，都在同一天，最近一单在今天。",
                "累计净消费 200 欧元（已扣退款），平均每单 50.03 欧元。",
                "模型预测：未来 30 天内下单的概率为 62%，未来 365 天预计净消费 101 欧元。",
                "未来 365 天内再次下单的概率超过 99%，若下单则预计净消费约 140 欧元。",
            ],
        ),
        (
            BEST,
            {},
            "zh",
            [
                "客户 C{1}（德国，获客渠道：搜索，阶段：忠诚客户）于 2024年3月3日建档，",
                "共下过 4 单，平均约 30 天一单，最近一单在 10 天前。",
                "累计净消费 200 欧元（已扣退款），平均每单 50.03 欧元，花费最多的品类是 tea {0}（占 64%）。",
                "模型预测：未来 30 天内下单的概率为 62%，未来 180 天内不下单（流失）的概率不到 1%，",
                "未来 365 天预计净消费 1,234 欧元。",
                "预计下次下单日：2024年7月15日（按其自身下单节奏）。",
            ],
        ),
        (
            {"recency_days": 1},
            ONCE | {"historic_clv": 0.0, "known_since": None, "order_probability": 0.999},
            "en",
            [
                "Customer C{1} has placed 1 order, 1 day ago.",
                " They have brought 0 EUR after refunds, with an order of 50.03 EUR.",
                " The models put an order within 30 days at more than 99%.",
            ],
        ),
        (
            {"recency_days": 0},
            ONCE | {"order_probability": None},
            "zh",
            [
                "客户 C{1}于 2024年3月3日建档，只下过 1 单，在今天。",
                "这一单 50.03 欧元，累计净消费 200 欧元（已扣退款）。",
                "尚无模型给出评分。",
            ],
        ),
        (
            {"recency_days": 0, "country": "NL"},
            TWICE,
            "en",
            [
                "Customer C{1} (NL) has been known since 3 March 2024 and has placed 2 orders, all on one"
                " day, the latest today.",
                " They have brought 200 EUR after refunds, with orders of 50.03 EUR on average.",
                " The models put an order within 30 days at 62%.",
            ],
        ),
        (
            {},
            {"historic_number_of_orders": None},
            "en",
            ["Customer C{1} is known, and nothing else is told yet."],
        ),
        ({}, {"historic_number_of_orders": None}, "zh", ["客户 C{1} 已有记录，尚无其他信息。"]),
    ],
)
def test_a_customer_in_words(facts: Facts, changed: Facts, language: Any, sentences: list[str]) -> None:
    given_value = measured().model_copy(update=SCORES | changed)
    assert describe("C{1}", {"recency_days": 10} | facts, given_value, "EUR", language) == "".join(sentences)


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", " The models put a first order within 60 days at 12% (higher than for 8 of 10 customers)."),
        ("zh", "模型预测：未来 60 天内首次下单的概率为 12%（高于 10 位客户中的 8 位）。"),
    ],
)
def test_a_prospect_is_portrayed_by_the_score_of_leads(language: Any, sentence: str) -> None:
    prospect = entry(
        orders_total=0, recency_days=None, tenure_days=None, average_order_value=None,
        spend_total=0.0, refunded_total=0.0,
    )  # fmt: skip
    no_order = Score(None, version="1", reason="has not ordered yet")
    scores = dict.fromkeys(("churn", "propensity", "clv"), no_order) | {"leads": Score(0.12, 84.0, "1")}
    model = FittedModel("1", {"horizon_days": 60, "kind": "probability"}, None, {})  # type: ignore[arg-type]
    result = measures(replace(prospect, scores=scores), prospect.facts, {"leads": model}, SHOP)
    assert (result.first_order_probability, result.first_order_horizon_days) == (0.12, 60)
    assert result.missing["order_probability"] == "has not ordered yet"
    assert result.missing["subscription_churn_probability"] == "subscription_churn was never trained"
    words = describe("C1", prospect.facts, result, "EUR", language, {"first_order_probability": 84.0})
    assert words.endswith(sentence)


def test_the_end_of_subscriptions_is_in_the_paragraph() -> None:
    scores = SCORES | {"subscription_churn_probability": 0.3, "subscription_churn_horizon_days": 60}
    result = measured().model_copy(update=scores | {"expected_date_of_next_order": None})
    ranks = {"subscription_churn_probability": 99.5, "predicted_clv": 50.0}
    words = {
        language: describe("C1", {"recency_days": 10}, result, "EUR", language, ranks)
        for language in ("en", "zh")
    }
    assert words["en"].endswith(
        " no order within 180 days at less than 1%, no subscription any more in 60 days at 30% (higher than"
        " for 99 of 100 customers) and what they bring within 365 days at 1,234 EUR"
        " (as for a typical customer)."
    )
    assert words["zh"].endswith(
        "未来 60 天内订阅流失的概率为 30%（高于 100 位客户中的 99 位），"
        "未来 365 天预计净消费 1,234 欧元（与一般客户相当）。"
    )


@pytest.mark.parametrize(
    ("gap", "words"),
    [(0.4, "more than one a day"), (1.2, "about one a day"), (1.6, "about one every 2 days")],
)
def test_a_quick_rhythm_in_words(gap: float, words: str) -> None:
    given_value = measured().model_copy(update={"average_days_between_orders": gap})
    assert f"4 orders, {words}, the latest" in describe("C1", {"recency_days": 10}, given_value, "EUR", "en")


def test_text_features_of_the_group_segments_are_the_customers_segments() -> None:
    segments = FeatureGroup("segments", fresh_for=timedelta(days=2))

    @segments.feature(unit="stage")
    def lifecycle_stage(order_lines: ir.Table) -> ir.StringValue:
        """Where the customer stands. More of it."""
        return order_lines.category.max()

    @segments.feature(unit="points")
    def rank(order_lines: ir.Table) -> ir.IntegerValue:
        """A number beside the segments."""
        return order_lines.count()

    known = FEATURES | segments.features
    given_value = portray(entry(lifecycle_stage="loyal", rank=3, not_of_today=1), {}, SHOP, "en", known)
    assert given_value.stage == "loyal"
    assert given_value.segments == {"lifecycle_stage": "loyal"}
    assert given_value.facts is not None
    assert given_value.facts["segments"]["lifecycle_stage"].meaning == "Where the customer stands."
    assert given_value.facts["segments"]["rank"].value == 3
    assert "stage: loyal" in given_value.portrait
    assert portray(entry(lifecycle_stage=float("nan")), {}, SHOP, "en").stage is None
