"""A customer in two to five sentences, in English or Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from decisions.names.channels import source_in_chinese
from decisions.names.regions import country_in_chinese, currency_in_chinese
from decisions.reasons import Language
from features.groups.segment_rules import STAGES
from models.explain.words import money, rank
from serving.customers.schemas import Measures


@dataclass(frozen=True)
class _Phrases:
    """The phrases of a language; tuples go from few to many."""

    nothing: str
    who: str
    channel: str
    source_name: Callable[[str], str]
    country_name: Callable[[str], str]
    currency_name: Callable[[str], str]
    stage: str
    stages: Mapping[str, str]
    brackets: str
    since: str
    orders: tuple[str, str, str]  # none, one, more
    rhythm: tuple[str, str, str, str]  # on one day, more than one a day, one a day, one every so many days
    ago: tuple[str, str, str]  # today, a day, more
    value: tuple[str, str]  # of one order, of more
    taste: str
    percent: tuple[str, str, str]  # almost none, a number, almost all
    scores: tuple[str, str]  # none, some
    order: str
    first_order: str
    churn: str
    subscription_churn: str
    clv: str
    order_parts: str
    rank: str
    due: tuple[str, str]  # by their own rhythm, by the shop's rates
    day: str
    listed: tuple[str, str]  # between members of a list, and before its last
    between: str  # sentences


_PHRASES: dict[Language, _Phrases] = {
    "en": _Phrases(
        nothing="Customer {id} is known, and nothing else is told yet.",
        who="Customer {id}{brackets}{since} {orders}.",
        channel="came through {}",
        source_name=str,
        country_name=str,
        currency_name=str,
        stage="stage: {}",
        stages={name: stage.english.lower() for name, stage in STAGES.items()},
        brackets=" ({})",
        since=" has been known since {} and",
        orders=(
            "has not ordered yet",
            "has placed 1 order, {ago}",
            "has placed {count:,} orders, {rhythm}, the latest {ago}",
        ),
        rhythm=("all on one day", "more than one a day", "about one a day", "about one every {:,.0f} days"),
        ago=("today", "1 day ago", "{:,} days ago"),
        value=(
            "They have brought {net} after refunds, with an order of {each}{taste}.",
            "They have brought {net} after refunds, with orders of {each} on average{taste}.",
        ),
        taste=", and spend most on {category} ({share})",
        percent=("less than 1%", "{:.0f}%", "more than 99%"),
        scores=("No model has a score for them.", "The models put {}."),
        order="an order within {days} days at {value}",
        first_order="a first order within {days} days at {value}",
        churn="no order within {days} days at {value}",
        subscription_churn="no subscription any more in {days} days at {value}",
        clv="what they bring within {days} days at {value}",
        order_parts="They order again within {days} days with a probability of {value},"
        " then for about {amount}.",
        rank=" ({})",
        due=(
            "By their own rhythm the next order is due on {day}.",
            "Half of such customers who order within {days} days have done so by {day}.",
        ),
        day="{0.day} {0:%B} {0.year}",
        listed=(", ", " and "),
        between=" ",
    ),
    "zh": _Phrases(
        nothing="客户 {id} 已有记录，尚无其他信息。",
        who="客户 {id}{brackets}{since}{orders}。",
        channel="获客渠道：{}",
        source_name=source_in_chinese,
        country_name=country_in_chinese,
        currency_name=currency_in_chinese,
        stage="阶段：{}",
        stages={name: stage.chinese for name, stage in STAGES.items()},
        brackets="（{}）",
        since="于 {}建档，",
        orders=("尚未下单", "只下过 1 单，{ago}", "共下过 {count:,} 单，{rhythm}，最近一单{ago}"),
        rhythm=("都在同一天", "平均每天不止一单", "平均约每天一单", "平均约 {:,.0f} 天一单"),
        ago=("在今天", "在 1 天前", "在 {:,} 天前"),
        value=(
            "这一单 {each}，累计净消费 {net}（已扣退款）{taste}。",
            "累计净消费 {net}（已扣退款），平均每单 {each}{taste}。",
        ),
        taste="，花费最多的品类是 {category}（占 {share}）",
        percent=("不到 1%", "为 {:.0f}%", "超过 99%"),
        scores=("尚无模型给出评分。", "模型预测：{}。"),
        order="未来 {days} 天内下单的概率{value}",
        first_order="未来 {days} 天内首次下单的概率{value}",
        churn="未来 {days} 天内不下单（流失）的概率{value}",
        subscription_churn="未来 {days} 天内订阅流失的概率{value}",
        clv="未来 {days} 天预计净消费 {value}",
        order_parts="未来 {days} 天内再次下单的概率{value}，若下单则预计净消费约 {amount}。",
        rank="（{}）",
        due=(
            "预计下次下单日：{day}（按其自身下单节奏）。",
            "预计下次下单日：{day}（在 {days} 天内会下单的同类客户中，有一半不晚于该日下单）。",
        ),
        day="{0.year}年{0.month}月{0.day}日",
        listed=("，", "，"),
        between="",
    ),
}


def describe(
    customer_id: str,
    facts: Mapping[str, Any],
    measures: Measures,
    currency: str,
    language: Language,
    percentiles: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Who a customer is, since when, how often and how much they buy, what they like, what is expected.

    Args:
        facts: feature values by name, None where missing.
        measures: the measures made from them; without a number of orders only the id is known.
        percentiles: of the measures that are scores, by name; others have no rank.
    """
    say = _PHRASES[language]
    currency = say.currency_name(currency)
    if measures.historic_number_of_orders is None:
        return say.nothing.format(id=customer_id)
    sentences = [
        say.who.format(
            id=customer_id,
            brackets=_brackets(facts, say),
            since=say.since.format(_day(measures.known_since, say)) if measures.known_since else "",
            orders=_orders(measures.historic_number_of_orders, measures, facts, say),
        )
    ]
    if measures.historic_clv is not None and measures.average_order_value is not None:
        net, each = money(measures.historic_clv, currency), money(measures.average_order_value, currency)
        value = say.value[min(measures.historic_number_of_orders, 2) - 1]
        sentences.append(value.format(net=net, each=each, taste=_taste(facts, say)))
    ranks = {name: say.rank.format(rank(value, language)) for name, value in percentiles.items()}
    scores = _scores(measures, currency, say, ranks)
    sentences.append(say.scores[1].format(_listed(scores, say)) if scores else say.scores[0])
    if order_parts := _order_parts(measures, currency, say):
        sentences.append(order_parts)
    if measures.expected_date_of_next_order:
        days, day = measures.next_order_horizon_days, _day(measures.expected_date_of_next_order, say)
        sentences.append(say.due[days is not None].format(days=days, day=day))
    return say.between.join(sentences)


def _brackets(facts: Mapping[str, Any], say: _Phrases) -> str:
    stage = say.stages.get(str(facts.get("lifecycle_stage")))
    country, source = facts.get("country"), facts.get("acquisition_channel")
    phrases = (
        ("{}", country and say.country_name(country)),
        (say.channel, source and say.source_name(source)),
        (say.stage, stage),
    )
    who = [phrase.format(value) for phrase, value in phrases if value]
    return say.brackets.format(say.listed[0].join(who)) if who else ""


def _orders(count: int, measures: Measures, facts: Mapping[str, Any], say: _Phrases) -> str:
    phrase = say.orders[min(count, 2)]
    if not count:
        return phrase
    days = facts["recency_days"]
    gap = measures.average_days_between_orders or 0.0
    kind = 0 if gap == 0 else 1 if gap < 0.75 else 2 if gap < 1.5 else 3
    return phrase.format(
        count=count, rhythm=say.rhythm[kind].format(gap), ago=say.ago[min(days, 2)].format(days)
    )


def _taste(facts: Mapping[str, Any], say: _Phrases) -> str:
    category, share = facts.get("favourite_category"), facts.get("favourite_category_share")
    if category is None or share is None:
        return ""
    return say.taste.format(category=category, share=f"{100 * share:.0f}%")


def _scores(measures: Measures, currency: str, say: _Phrases, ranks: Mapping[str, str]) -> list[str]:
    """The phrase of each score, with its rank among those of all customers if it has one."""
    clv = None if measures.predicted_clv is None else money(measures.predicted_clv, currency)
    phrases = (
        ("order_probability", measures.order_horizon_days, say.order),
        ("first_order_probability", measures.first_order_horizon_days, say.first_order),
        ("churn_probability", measures.churn_horizon_days, say.churn),
        ("subscription_churn_probability", measures.subscription_churn_horizon_days, say.subscription_churn),
        ("predicted_clv", measures.predicted_clv_horizon_days, say.clv),
    )
    scores = []
    for name, days, phrase in phrases:
        value = clv if name == "predicted_clv" else _percent(getattr(measures, name), say)
        if value is not None:
            scores.append(phrase.format(days=days, value=value) + ranks.get(name, ""))
    return scores


def _order_parts(measures: Measures, currency: str, say: _Phrases) -> str | None:
    """The probability of an order and the amount if there is one; None for a version of clv without them."""
    value = _percent(measures.predicted_clv_probability_of_order, say)
    if value is None or measures.predicted_clv_amount_if_order is None:
        return None
    amount = money(measures.predicted_clv_amount_if_order, currency)
    return say.order_parts.format(days=measures.predicted_clv_horizon_days, value=value, amount=amount)


def _percent(probability: float | None, say: _Phrases) -> str | None:
    if probability is None:
        return None
    return say.percent[0 if probability < 0.01 else 2 if probability > 0.99 else 1].format(100 * probability)


def _listed(parts: Sequence[str], say: _Phrases) -> str:
    *first, last = parts
    return say.listed[1].join([say.listed[0].join(first), last] if first else [last])


def _day(day: date, say: _Phrases) -> str:
    return say.day.format(day)
