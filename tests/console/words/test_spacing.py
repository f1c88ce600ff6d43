"""The blanks of Chinese text: in all catalogues, and around values."""

from __future__ import annotations

import pytest

from console.words.messages import Translator, catalogue
from console.words.sentences import sentence, templates
from console.words.spacing import filled, spaced
from decisions import reasons
from decisions.results import words as results

CHINESE = Translator("zh", "Europe/Berlin", "EUR")


def test_every_chinese_text_has_blanks_by_the_rule() -> None:
    texts = [template.texts["zh"] for template in templates()]
    for message in catalogue().values():
        texts += [message["zh"]] if isinstance(message["zh"], str) else message["zh"].values()
    texts += [text for _, text in (reasons._WORDS | results._WORDS).values()]
    assert {text: spaced(text) for text in texts if spaced(text) != text} == {}


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("未来{days}天", "180", "未来 180 天"),
        ("占全部客户的{share}左右", "35%", "占全部客户的 35% 左右"),
        ("自 {day} 起", "2026年11月30日", "自 2026年11月30日起"),
        ("{moment} 的预览", "2026年11月30日 07:39", "2026年11月30日 07:39 的预览"),
        ("{measure}为 0.2，", "AUC", "AUC 为 0.2，"),
        ("请运行{command}重试", "`patron build`", "请运行 `patron build` 重试"),
        ("（ {value} ）", "€4,922", "（€4,922）"),
        ("商品“{product}”缺货", "iPhone手机壳 , 3C数码", "商品“iPhone手机壳 , 3C数码”缺货"),
        ("修改 {name} 的角色", "ada", "修改 ada 的角色"),
    ],
)
def test_a_value_is_set_off_from_ideographs_and_keeps_its_own_blanks(
    template: str, value: str, text: str
) -> None:
    (name,) = {part.partition("}")[0] for part in template.split("{")[1:]}
    assert filled(template, {name: value}) == text


def test_messages_and_sentences_follow_the_rule() -> None:
    assert CHINESE("customers.count", n=1200) == "1,200 位客户"
    assert sentence(CHINESE, "gini is 0.2 and must be at least 0.3: it must tell customers apart").startswith(
        "基尼系数为 0.2，"
    )
    assert spaced("within 180 days") == "within 180 days"
