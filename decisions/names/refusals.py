"""In Chinese why a customer has no score: what models and the service answer in English.

Reasons are logged in English, as models state them in their manifests; a log and a model of an earlier
version have them, too. So they are translated where they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from features.groups.segment_rules import LAPSED_AFTER_DAYS

NO_ANSWER = "模型没有给出结果"
_TEXTS: Mapping[str, str] = {
    "has not ordered yet": "尚未下单",
    "has ordered already, so is no prospect": "已经下过单",
    "holds no subscription that goes on: none is active, or notice was given": (
        "没有将续订的订阅（无有效订阅或已取消）"
    ),
    f"has no order in the last {LAPSED_AFTER_DAYS} days, so has lapsed already or never begun": (
        f"近 {LAPSED_AFTER_DAYS} 天未下单，已流失或从未下单"
    ),
    "unknown customer: no event has named this id": "客户未知：没有任何事件提到该编号",
    "no features yet: they are made by the next `patron build`": "尚无客户特征：下次更新数据后生成",
    "the model's default: nothing is known of this customer while a store is unavailable": (
        "数据存储暂不可用，使用模型的默认值"
    ),
    "it was not asked for": "本次未请求该模型",
    "the model does not answer": NO_ANSWER,
}
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\w+ (has no champion: it|\w*) ?was never trained"), "该模型尚未训练"),
    (re.compile(r"\w+ has no champion: version .* did not pass its gates"), "该模型的最新版本未通过检验"),
    (re.compile(r"\w+ has no champion"), "该模型没有启用的版本"),
    (re.compile(r"model version .* is refused"), "特征定义在模型训练后有变化"),
    (re.compile(r"has no order in the last (\d+) days"), r"近 \1 天未下单，已流失或从未下单"),
)


def refusal_in_chinese(reason: str) -> str:
    """Why there is no score; that there is none where the reason is not known."""
    if reason in _TEXTS or re.search("[\u4e00-\u9fff]", reason):
        return _TEXTS.get(reason, reason)
    for pattern, text in _PATTERNS:
        if match := pattern.match(reason):
            return match.expand(text)
    return NO_ANSWER
