"""Results in words, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from decisions.names.regions import currency_in_chinese
from decisions.reasons import Language
from decisions.results.off_policy import MIN_EFFECTIVE, ActionContrast
from decisions.results.programme import ProgrammeEffect
from decisions.results.statistics import Contrast

_WORDS: Mapping[str, tuple[str, str]] = {  # English, Chinese
    "no_holdout": (
        "cannot tell: no holdout is declared; set holdout_share in actions.toml",
        "无法判断：尚未设置长期对照组，请在营销动作文件中设置对照组比例",
    ),
    "nobody_enrolled": (
        "cannot tell yet, because no customer had a decision since the holdout was drawn",
        "暂时无法判断：自抽取长期对照组以来尚无客户决策",
    ),
    "unclear": ("cannot tell yet, because {reasons}", "暂时无法判断：{reasons}"),
    "few_customers": (
        "the smaller group has {count:,.0f} customers and needs {needed:,.0f}",
        "较小的一组只有 {count:,.0f} 位客户（需 {needed:,.0f} 位）",
    ),
    "few_buyers": (
        "one group has {count:,.0f} customers with an order and needs {needed:,.0f}",
        "其中一组只有 {count:,.0f} 位客户下单（需 {needed:,.0f} 位）",
    ),
    "early": (
        "{days:.0f} days have passed and {needed:.0f} are needed",
        "仅过去 {days:.0f} 天（需满 {needed:.0f} 天）",
    ),
    "sample_ratio": (
        "the holdout has {holdout:,.0f} customers where {expected:,.0f} are expected, so the groups may not"
        " be comparable: something makes decisions for one group more often",
        "长期对照组有 {holdout:,.0f} 位客户，按比例应约为 {expected:,.0f} 位，两组可能不可比",
    ),
    "few_random": (
        "there are too few random choices: their effective number is {count:,.0f}"
        ", and {needed:,.0f} are"
        " needed",
        "随机试验次数不足：有效次数为 {count:,.0f}（需 {needed:,.0f}）",
    ),
    "more": (
        "{estimate:,.2f} {currency} more net margin per customer than in the holdout"
        " (95% interval {low:,.2f} to {high:,.2f})",
        "每位客户的净毛利比长期对照组多 {estimate:,.2f} {currency}（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "less": (
        "{estimate:,.2f} {currency} less net margin per customer than in the holdout"
        " (95% interval {low:,.2f} to {high:,.2f})",
        "每位客户的净毛利比长期对照组少 {estimate:,.2f} {currency}（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "same": (
        "no difference to the holdout can be shown: net margin per customer differs by {estimate:,.2f}"
        " {currency} (95% interval {low:,.2f} to {high:,.2f})",
        "与长期对照组相比未显示差异：每位客户的净毛利相差 {estimate:,.2f} {currency}"
        "（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "action_more": (
        "{estimate:,.2f} {currency} more net margin per decision than doing nothing"
        " (95% interval {low:,.2f} to {high:,.2f})",
        "每次决策的净毛利比不联系多 {estimate:,.2f} {currency}（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "action_less": (
        "{estimate:,.2f} {currency} less net margin per decision than doing nothing"
        " (95% interval {low:,.2f} to {high:,.2f})",
        "每次决策的净毛利比不联系少 {estimate:,.2f} {currency}（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "action_same": (
        "no difference to doing nothing can be shown: net margin per decision differs by {estimate:,.2f}"
        " {currency} (95% interval {low:,.2f} to {high:,.2f})",
        "与不联系相比未显示差异：每次决策的净毛利相差 {estimate:,.2f} {currency}"
        "（95% 置信区间 {low:,.2f} 至 {high:,.2f}）",
    ),
    "no_variation": ("all customers brought the same", "所有客户的净毛利相同"),
}
_SEPARATOR = {"en": "; and ", "zh": "；"}


def of_programme(effect: ProgrammeEffect, language: Language, currency: str) -> str:
    """What an effect of the programme says; its money is in the currency."""
    if effect.unclear:
        reasons = [_text(why.code, language, **why.values) for why in effect.unclear]
        return _text("unclear", language, reasons=_SEPARATOR[language].join(reasons))
    return _difference(effect.net_margin, "", language, currency)


def of_action(contrast: ActionContrast, language: Language, currency: str) -> str:
    """What the contrast of an action with doing nothing says; its money is in the currency."""
    count = min(contrast.effective_chosen, contrast.effective_nothing)
    if count < MIN_EFFECTIVE:
        why = _text("few_random", language, count=count, needed=MIN_EFFECTIVE)
        return _text("unclear", language, reasons=why)
    return _difference(contrast.net_margin, "action_", language, currency)


def nothing_to_compare(language: Language, *, declared: bool) -> str:
    """That there are no groups yet.

    Args:
        declared: whether a holdout is declared.
    """
    return _text("nobody_enrolled" if declared else "no_holdout", language)


def _difference(result: Contrast | None, prefix: str, language: Language, currency: str) -> str:
    if result is None:
        return _text("unclear", language, reasons=_text("no_variation", language))
    code = "more" if result.low > 0 else "less" if result.high < 0 else "same"
    estimate = -result.estimate if code == "less" else result.estimate
    named = currency_in_chinese(currency) if language == "zh" else currency
    values = {"estimate": estimate, "low": result.low, "high": result.high}
    return _text(prefix + code, language, currency=named, **values)


def _text(code: str, language: Language, **values: float | str) -> str:
    text = _WORDS[code][language == "zh"].format(**values)
    return text.replace("-", "−") if "{estimate" in _WORDS[code][0] else text
