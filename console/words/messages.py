"""Messages by name and language, with plural forms, and formats of values (Unicode CLDR, by Babel).

The messages are in the TOML files of this folder, one per page. A message is a table with ``en`` and ``zh``.
A text with the number ``n`` may have plural forms, named as by CLDR:
``en = { one = "{n} customer", other = "{n} customers" }``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_name

from console.words.spacing import filled

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
NONE = "–"


@cache
def locale_of(language: Language) -> Locale:
    """The locale by which values are written."""
    return Locale.parse({"en": "en_GB", "zh": "zh_Hans_CN"}[language])


@cache
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """All messages by name, each by language."""
    messages: dict[str, Mapping[str, Any]] = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for section, own in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for name, message in own.items():
                messages[f"{section}.{name}"] = message
    return messages


@dataclass(frozen=True)
class Translator:
    """The words of one user: a language, a time zone and the shop's currency."""

    language: Language
    zone: str
    currency: str

    def __call__(self, name: str, **values: Any) -> str:
        """A message with its values; ``n`` chooses the plural form.

        Raises:
            KeyError: there is no such message.
        """
        message = catalogue()[name][self.language]
        if isinstance(message, Mapping):
            message = message[locale_of(self.language).plural_form(values["n"])]
        shown = {key: self.number(v) if isinstance(v, int | float) else str(v) for key, v in values.items()}
        return filled(message, shown) if self.language == "zh" else str(message).format(**shown)

    def choice(self, group: str, value: str, n: float | None = None) -> str:
        """The message ``GROUP.VALUE``, in the plural form of ``n``; the value itself where there is none."""
        known = catalogue().get(f"{group}.{value}")
        if not known:
            return value
        message = known[self.language]
        if isinstance(message, Mapping):
            message = message["other" if n is None else locale_of(self.language).plural_form(n)]
        return str(message)

    def both(self, texts: Mapping[str, str]) -> str:
        """One of the texts by language; another's if this one is missing."""
        return texts.get(self.language) or next(iter(texts.values()), "")

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number with at most so many digits after the point."""
        if value is None or value != value:
            return NONE
        return str(format_decimal(round(value, digits), locale=locale_of(self.language)))

    def money(self, value: float | None, currency: str = "") -> str:
        """An amount: whole at 0 and from 100 on, else with the currency's own digits."""
        if value is None or value != value:
            return NONE
        whole = value == 0 or abs(value) >= 100
        return str(
            format_currency(
                round(value) if whole else value,
                currency or self.currency,
                locale=locale_of(self.language),
                format="¤#,##0" if whole else None,
                currency_digits=not whole,
            )
        )

    def currency_name(self, code: str = "") -> str:
        """A currency, the shop's by default: its code in English, its name in Chinese."""
        code = code or self.currency
        return code if self.language == "en" else str(get_currency_name(code, locale=locale_of("zh")))

    def percent(self, value: float | None, digits: int = 0, *, is_aligned: bool = False) -> str:
        """A share, 0 to 1, as a percentage with at most so many digits; if aligned, with exactly so many."""
        if value is None or value != value:
            return NONE
        return str(
            format_percent(
                round(value, digits + 2),
                f"#,##0.{'0' * digits}%" if is_aligned else None,
                locale=locale_of(self.language),
                decimal_quantization=False,
            )
        )

    def day(self, value: date | datetime | str | None) -> str:
        """A date; of a moment, in the shop's time zone."""
        if value is None:
            return NONE
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = value.astimezone(ZoneInfo(self.zone)).date() if value.tzinfo else value.date()
        return str(format_date(value, "medium", locale=locale_of(self.language)))

    def moment(self, value: datetime | str | None) -> str:
        """A date and a time in the shop's time zone."""
        if value is None:
            return NONE
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        local, locale = value.astimezone(ZoneInfo(self.zone)), locale_of(self.language)
        day, time = format_date(local, "medium", locale), format_time(local, "short", locale=locale)
        return str(locale.datetime_formats["medium"]).format(time, day)

    def month(self, value: str) -> str:
        """A month, from ``2026-10``."""
        first = date.fromisoformat(f"{value}-01")
        return str(format_skeleton("yMMM", first, locale=locale_of(self.language)))

    def measure(self, value: float | None) -> str:
        """A measure of a model: a whole number, or one with three digits after the point."""
        if value is None or value != value or value == round(value):
            return self.number(value)
        return str(format_decimal(round(value, 3), "#,##0.000", locale_of(self.language)))

    def text(self, kind: str, value: Any, currency: str = "") -> str:
        """A value of a column of this kind."""
        if kind == "money":
            return self.money(value, currency)
        if kind == "number":
            return self.number(value, 2)
        if kind == "change":
            return ("+" if value and value > 0 else "") + self.number(value, 2)
        if kind == "measure":
            return self.measure(value)
        if kind == "percent":
            return self.percent(value, 1, is_aligned=True)
        if kind == "day":
            return self.day(value)
        if kind == "month" and value:
            return self.month(value)
        if kind == "moment":
            return self.moment(value)
        return NONE if value is None or value == "" else str(value)
