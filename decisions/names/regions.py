"""Countries and currencies in Chinese, by the Unicode CLDR (``countries.csv``)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_COUNTRIES = Path(__file__).with_name("countries.csv")
_OTHER_NAMES: Mapping[str, str] = {
    "uk": "英国", "usa": "美国", "eire": "爱尔兰", "rsa": "南非", "korea": "韩国", "czech republic": "捷克",
    "turkey": "土耳其", "holland": "荷兰", "channel islands": "海峡群岛", "west indies": "西印度群岛",
    "european community": "欧盟", "eu": "欧盟", "other": "其他", "unspecified": "未注明", "unknown": "未知",
}  # fmt: skip
"""Names in use that the CLDR does not have, in lower case."""
_CURRENCIES: Mapping[str, str] = {
    "EUR": "欧元", "GBP": "英镑", "USD": "美元", "CNY": "元", "JPY": "日元", "CHF": "瑞士法郎", "AUD": "澳元",
    "CAD": "加元", "NZD": "新西兰元", "HKD": "港元", "TWD": "新台币", "SGD": "新加坡元", "MOP": "澳门元",
    "KRW": "韩元", "INR": "印度卢比", "THB": "泰铢", "VND": "越南盾", "MYR": "林吉特", "IDR": "印尼盾",
    "PHP": "菲律宾比索", "SEK": "瑞典克朗", "NOK": "挪威克朗", "DKK": "丹麦克朗", "PLN": "波兰兹罗提",
    "CZK": "捷克克朗", "HUF": "匈牙利福林", "RON": "罗马尼亚列伊", "BGN": "保加利亚列弗", "TRY": "土耳其里拉",
    "RUB": "卢布", "UAH": "乌克兰格里夫纳", "ILS": "以色列新谢克尔", "AED": "阿联酋迪拉姆",
    "SAR": "沙特里亚尔", "ZAR": "南非兰特", "EGP": "埃及镑", "BRL": "巴西雷亚尔", "MXN": "墨西哥比索",
    "ARS": "阿根廷比索", "CLP": "智利比索", "COP": "哥伦比亚比索", "PEN": "秘鲁索尔",
}  # fmt: skip


def country_in_chinese(country: str) -> str:
    """A country by its ISO 3166 code or English name; a value that is neither as it is."""
    return _countries().get(country.strip().casefold(), country)


def currency_in_chinese(code: str) -> str:
    """A currency by its ISO 4217 code; the code of one that is not listed."""
    return _CURRENCIES.get(code, code)


@cache
def _countries() -> Mapping[str, str]:
    """Chinese names by code and by English name, in lower case."""
    with open(_COUNTRIES, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_key = {row[key].casefold(): row["chinese"] for key in ("english", "code") for row in rows}
    return {**by_key, **_OTHER_NAMES}
