"""Converts the values of traits, which are texts, to numbers, flags, days and texts.

A value that cannot be converted is unknown (null).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features.group import KEYS

YES = (
    "true", "yes", "y", "t", "1", "on", "ja", "j", "oui", "o", "si", "sí", "s", "sim", "tak", "ano", "да",
    "是", "是的", "有", "真", "はい", "예", "네",
)  # fmt: skip
NO = (
    "false", "no", "n", "f", "0", "off", "nein", "nee", "non", "nej", "nei", "não", "nao", "nie", "ne", "нет",
    "否", "不", "不是", "无", "假", "いいえ", "아니요",
)  # fmt: skip
"""Texts of flags in lower case."""
_NUMBER = r"^[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?$"
_DATE = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})"
_SECONDS, _MILLISECONDS = r"^[0-9]{9,10}(\.[0-9]+)?$", r"^[0-9]{12,13}$"


def latest_of(traits: ir.Table) -> ir.Table:
    """One row per trait of a customer: its latest value; of two at the same moment the greater one.

    A trait whose latest value is null was cleared, and has no row.
    """
    newest_first = [traits.timestamp.desc(), traits.value.desc(nulls_first=False)]
    place = ibis.row_number().over(group_by=[*KEYS, "name"], order_by=newest_first)
    ranked = traits.mutate(place=place)
    return ranked.filter(ranked.place == 0, ranked.value.notnull())


def flag(value: ir.StringValue) -> ir.BooleanValue:
    """Yes or no, as people write it."""
    word = value.strip().lower()
    return ibis.cases((word.isin(YES), True), (word.isin(NO), False))


def number(value: ir.StringValue) -> ir.FloatingValue:
    """A finite number with a decimal point."""
    plain = value.strip()
    return ibis.ifelse(plain.re_search(_NUMBER), plain, None).try_cast("float64")


def text(value: ir.StringValue) -> ir.StringValue:
    """A text without blanks around it; an empty one is unknown."""
    return value.strip().nullif("")


def day(value: ir.StringValue) -> ir.IntegerValue:
    """Days since 1970-01-01 of a date as it is written (ISO 8601), or of epoch seconds or milliseconds."""
    plain = value.strip()
    written = plain.re_extract(_DATE, 1).try_cast("date").delta(ibis.date("1970-01-01"), unit="day")
    seconds = ibis.ifelse(plain.re_search(_SECONDS), plain, None).try_cast("float64") // 86_400
    milliseconds = ibis.ifelse(plain.re_search(_MILLISECONDS), plain, None).try_cast("float64") // 86_400_000
    return ibis.coalesce(written, seconds.cast("int64"), milliseconds.cast("int64"))
