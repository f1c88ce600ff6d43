"""The reasons of a decision: a code with values, which the log stores, and its text in a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from decisions import chinese
from decisions.limit_words import LIMIT_WORDS
from decisions.names.refusals import refusal_in_chinese
from decisions.names.values import VALUE_WORDS

Language = Literal["en", "zh"]

_WORDS: dict[str, tuple[str, str]] = LIMIT_WORDS | {  # English, Chinese
    # An action is not offered.
    "channel": ("channel not asked for", "不在所选渠道之内"),
    # In Chinese, :mod:`decisions.chinese` words comparisons.
    "not_known": ("{feature} is not known", ""),
    "not_equal": ("{feature} is {value} and must be {wanted}", ""),
    "not_one_of": ("{feature} is {value} and must be one of {wanted}", ""),
    "below": ("{feature} is {value} and must be at least {bound}", ""),
    "above": ("{feature} is {value} and must be at most {bound}", ""),
    "not_above": ("{feature} is {value} and must be above {bound}", ""),
    "not_below": ("{feature} is {value} and must be below {bound}", ""),
    "must_not_be": ("{feature} is {value}, which is excluded", ""),
    "is_known": ("{feature} is known and must not be", ""),
    "excluded": ("excluded by the rule: {rule}", "符合排除条件"),
    "no_alternative": ("none of these holds: {reasons}", "以下条件均不满足：{reasons}"),
    "outside_audience": ("not in the audience {audience}: {why}", "不属于受众“{audience}”：{why}"),
    "in_audience": ("in the audience {audience}, which is excluded", "属于已排除的受众“{audience}”"),
    "not_within": ("{date} is not within {days} days", "{days} 天内没有{date}"),
    "is_within": ("{date} is within {days} days, which is excluded", "{days} 天内有{date}，已排除"),
    "not_started": ("starts on {start}", "尚未开始（{start} 起）"),
    "over": ("ended on {end}", "已于 {end} 结束"),
    "repeat": (
        "chosen {days} days ago and at most every {limit} days",
        "距上次以该动作联系 {days} 天（需满 {limit} 天）",
    ),
    "no_address": ("no address for {channel}", "缺少{channel}联系方式"),
    "marked_as_spam": ("marked a message by {channel} as spam", "曾将{channel}标记为垃圾信息"),
    "bounced": (
        "messages by {channel} do not arrive: the last one bounced",
        "{channel}无法送达（最近一次被退回）",
    ),
    "unsubscribed": ("unsubscribed from {channel}", "已退订{channel}"),
    "not_subscribed": ("not subscribed to {channel}, which needs consent", "未订阅{channel}（需已订阅）"),
    "open_complaint": ("a complaint is open", "有未处理的投诉"),
    "suppressed_rejected": (
        "rejected {count} times; not contacted until {until}",
        "已拒绝 {count} 次，{until} 前不再联系",
    ),
    "suppressed_ignored": (
        "did not respond {count} times; not contacted until {until}",
        "已有 {count} 次未回应，{until} 前不再联系",
    ),
    "no_score": ("no {model} score: {reason}", "没有{model}：{reason}"),
    "no_order_value": ("no average order value: nothing was paid for yet", "没有平均订单金额：尚无付款订单"),
    "no_monthly_amount": (
        "no monthly amount: no subscription with an amount is active",
        "没有月订阅金额：当前没有带金额的有效订阅",
    ),
    "no_category_model": (
        "no score of a category: no model of categories is promoted; run `patron train category_propensity`",
        "没有品类购买概率：尚无可用的品类模型",
    ),
    "unknown_category": (
        "no score of the category {category}: nobody had ordered of it when the model was trained",
        "没有“{category}”的购买概率：模型训练时尚无人购买过该品类",
    ),
    "no_category_orders": (
        "no score of a category: the customer had not ordered when the model was trained",
        "没有品类购买概率：模型训练时该客户尚未下单",
    ),
    "no_category_amount": (
        "what an order of the category {category} brings is not known",
        "“{category}”每单金额未知",
    ),
    "no_first_order_value": (
        "the value of a first order is not declared; add first_order_value to actions.toml",
        "未设定首单金额，请在营销动作文件中补充",
    ),
    "no_discount": ("its text names a discount, and it has none", "未设定折扣，无法填写文案"),
    "no_product": ("there is no product to recommend in its text", "没有可推荐的商品，无法填写文案"),
    "no_category": ("there is no category to recommend in its text", "没有可推荐的品类，无法填写文案"),
    "harmful": (
        "by its declared effect it would change {model} for the worse: {before:.1%} → {after:.1%}",
        "按设定的效果，{model}反而会变差：{before:.1%} → {after:.1%}",
    ),
    # A permitted action was not chosen.
    "loss": ("costs more than it brings: {value:,.2f}", "成本高于收益（预期收益 {value:,.2f}）"),
    "less": (
        "worth {value:,.2f}, not more than {best:,.2f} of {action}",
        "预期收益 {value:,.2f}，不高于“{action}”的 {best:,.2f}",
    ),
    "lever_less": (
        "worth {value:,.2f} and ranked as {priority:,.2f}, not more than {best:,.2f} of {action}",
        "预期收益 {value:,.2f}，排序值 {priority:,.2f}，不高于“{action}”的 {best:,.2f}",
    ),
    "not_drawn": ("not drawn: today's choice is random, to learn", "今日为随机试验，未被抽中"),
    "too_much_loss": (
        "not drawn: it would lose more than exploration may, worth {value:,.2f}",
        "超出随机试验允许的损失，未参与抽取（预期收益 {value:,.2f}）",
    ),
    # The chosen action.
    "holdout": (
        "one of the lasting holdout, who get no marketing, so that its effect can be measured",
        "属于长期对照组，不接收营销动作，以便衡量效果",
    ),
    # In decisions of earlier releases.
    "control": ("one of the control group, who get nothing this month", "属于对照组，本月不做任何动作"),
    "drawn": ("drawn at random of {count} options, to learn", "随机试验：从 {count} 个可选动作中随机抽取"),
    **VALUE_WORDS,
    "nothing_pays": ("no permitted action brings more than it costs", "没有收益高于成本的可选动作"),
    "nothing_permitted": ("no action is permitted", "没有可选动作"),
    "no_facts": ("{reason}", "{reason}"),
}


CatalogueNames: TypeAlias = Mapping[str, Mapping[str, str]]
"""What a catalogue calls its actions and audiences in a language: by ``action`` and ``audience``, by code."""


@dataclass(frozen=True)
class DecisionReason:
    """A reason: one of the codes above, and the values that decided; a value may be a text by language."""

    code: str
    values: Mapping[str, Any]

    def words(self, language: Language, names: CatalogueNames = MappingProxyType({})) -> str:
        """The reason as text.

        Args:
            names: what the catalogue calls its actions and audiences; their codes by default.
        """
        if language == "zh" and self.code in chinese.COMPARISONS:
            return chinese.comparison(self.code, self.values)
        template = _WORDS[self.code][language == "zh"]
        values = {name: _named(name, value, language, names) for name, value in self.values.items()}
        return template.format(**{name: _Value(value, language, names) for name, value in values.items()})


def _named(name: str, value: Any, language: Language, names: CatalogueNames) -> Any:
    """An action, audience, model, date or refusal as the language calls it; other values as they are."""
    if name in names:
        return names[name].get(value, value)
    if name == "date":
        return chinese.DATES.get(value, f"“{value}”") if language == "zh" else str(value).replace("_", " ")
    if language == "zh" and name == "model":
        return chinese.label(str(value))
    if language == "zh" and name == "reason" and isinstance(value, str):
        return refusal_in_chinese(value)
    return value


def reason(code: str, **values: Any) -> DecisionReason:
    """The reason of a code with these values."""
    return DecisionReason(code, values)


@dataclass(frozen=True)
class _Value:
    """A value inside a text, formatted by the text's format specification or else by its type."""

    value: Any
    language: Language
    names: CatalogueNames

    def __format__(self, form: str) -> str:
        if isinstance(self.value, dict):
            return str(self.value[self.language])
        if form:
            return format(self.value, form).replace("-", "−")
        if isinstance(self.value, bool):
            return (("no", "yes"), ("否", "是"))[self.language == "zh"][self.value]
        if isinstance(self.value, list | tuple):
            if _is_reason(self.value):
                return DecisionReason(*self.value).words(self.language, self.names)
            separators = (", ", "、") if not any(map(_is_reason, self.value)) else ("; ", "；")
            items = (format(_Value(item, self.language, self.names)) for item in self.value)
            return separators[self.language == "zh"].join(items)
        return f"{self.value:.6g}" if isinstance(self.value, float) else str(self.value)


def _is_reason(value: Any) -> bool:
    """Whether a value is a reason inside a reason: a code and its values."""
    match value:
        case [str(code), Mapping()]:
            return code in _WORDS
    return False
