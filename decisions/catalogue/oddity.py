"""An oddity of a catalogue as text, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decisions import chinese
from decisions.reasons import Language

_WORDS: Mapping[str, tuple[str, str]] = {  # English, Chinese
    "over": ("it ended on {end}", "已于 {end} 结束"),
    "all_over": ("every action is over; only doing nothing is left", "所有营销动作均已结束，只剩不联系"),
    "control_share": (
        "control_share is read as holdout_share: the group no longer changes every month; rename the setting",
        "旧的对照组比例已作为长期对照组比例使用：该组不再每月更换，请更改设置名称",
    ),
    "missing_text": (
        "it has no text in {language}; the text in another language is used",
        "缺少{language}文本，将使用其他语言的文本",
    ),
    "no_discount": ("its text has a discount that is not declared", "文本含折扣，但未设置折扣，不会被选用"),
    "harmful_effect": (
        "its effect is harmful: it is declared to {direction} {model}",
        "设定的效果有害：会使{model}{direction}",
    ),
    "discount_above_margin": (
        "its discount of {discount:.0%} is above the margin of {margin:.0%}: every order loses money",
        "让利 {discount:.0%} 高于毛利率 {margin:.0%}，每单都亏损",
    ),
    "channel_typo": (
        "no other action uses the channel {channel}; did you mean {similar}?",
        "没有其他动作使用渠道“{channel}”；是否应为“{similar}”？",
    ),
    "contradiction": (
        "its conditions contradict each other: {feature} cannot be both {conditions}",
        "条件互相矛盾：{feature}不可能同时满足{conditions}",
    ),
    "value_nobody_has": (
        "no customer has the value {value} of {feature}{values}",
        "没有客户的{feature}为“{value}”",
    ),
    "nobody_fits": ("nobody fits", "没有符合条件的客户"),
    "no_scores": (
        "it reads scores of {model}, and all customers were never scored; run `patron score`",
        "规则用到{model}，但尚未为全部客户评分，请先完成全量评分",
    ),
    "unused_limit": (
        "no action is of the {kind} {name} that a limit names",
        "没有动作属于联系限制中的{kind}“{name}”",
    ),
}
_CHINESE: Mapping[Any, str] = {
    "en": "英文", "zh": "中文", "raise": "升高", "lower": "降低", "channel": "渠道", "group": "类别",
}  # fmt: skip


@dataclass(frozen=True)
class Oddity:
    """An oddity: a code of the table above, and its values.

    Attributes:
        action: the action that it is about; None for the whole catalogue.
        fits: the number of customers who fit the action now, of ``customers``; None if it is not known.
    """

    code: str
    action: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    fits: int | None = None
    customers: int | None = None

    def words(self, language: Language) -> str:
        """The oddity as text, with the action and how many customers fit now."""
        zh = language == "zh"
        values = _in_chinese(self.values) if zh else _in_english(self.values)
        text = _WORDS[self.code][zh].format(**values)
        if self.action is not None:
            text = f"动作“{self.action}”：{text}" if zh else f"action {self.action}: {text}"
        if self.fits is None:
            return text
        if zh:
            return f"{text}（目前 {self.customers:,} 位客户中有 {self.fits:,} 位符合）"
        return f"{text} ({self.fits:,} of {self.customers:,} customers fit now)"


def _in_chinese(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in Chinese: languages, models and features by name, values of features with units."""
    named = dict(values)
    for name in ("language", "direction", "kind"):
        if name in values:
            named[name] = _CHINESE[values[name]]
    if "value" in values:
        named["value"] = chinese.measure(str(values["feature"]), values["value"])
    if "conditions" in values:
        named["conditions"] = "和".join(
            f"“{sign} {'、'.join(chinese.measure(str(values['feature']), value) for value in wanted)}”"
            for sign, wanted in values["conditions"]
        )
    return named | {name: chinese.label(str(values[name])) for name in ("feature", "model") if name in values}


def _in_english(values: Mapping[str, Any]) -> dict[str, Any]:
    conditions = (f"{sign} {', '.join(map(str, wanted))}" for sign, wanted in values.get("conditions", ()))
    return {**values, "conditions": " & ".join(conditions)}
