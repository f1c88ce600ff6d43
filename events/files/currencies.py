"""The currency that an amount's own text names: ``$50``, ``JPY 8000``, ``500 kr``."""

from __future__ import annotations

from core.storage import sql

SIGNS: dict[str, tuple[str, ...]] = {
    "€": ("EUR",),
    "£": ("GBP", "EGP", "GIP", "FKP"),
    "r$": ("BRL",),
    "us$": ("USD",),
    "$": (
        "USD", "CAD", "AUD", "NZD", "MXN", "SGD", "HKD", "TWD", "ARS", "CLP", "COP", "BBD", "BSD", "BZD",
        "FJD", "JMD", "TTD", "UYU", "NAD", "BMD", "KYD", "XCD", "LRD", "GYD", "SRD", "DOP",
    ),
    "¥": ("JPY", "CNY"),
    "￥": ("CNY", "JPY"),
    "元": ("CNY", "TWD", "HKD"),
    "円": ("JPY",),
    "₹": ("INR",),
    "rs.": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "rs": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "kr.": ("SEK", "NOK", "DKK", "ISK"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "zł": ("PLN",),
    "kč": ("CZK",),
    "₽": ("RUB",),
    "₩": ("KRW",),
    "₺": ("TRY",),
    "₴": ("UAH",),
    "₫": ("VND",),
    "฿": ("THB",),
    "₪": ("ILS",),
    "fr.": ("CHF",),
}  # fmt: skip
"""Currencies by the sign that they are written with, in small letters; the likeliest first."""
_LONGEST_FIRST = sorted(SIGNS, key=len, reverse=True)
TOKEN = "(?i:" + "|".join(s.replace("$", r"\$").replace(".", r"\.") for s in _LONGEST_FIRST) + ")|[A-Z]{3}"
"""A regular expression of a currency's sign or ISO 4217 code in the text of an amount."""

_ONLY_DIGITS = "[-+0-9., ]*"
"""Most texts of amounts, which name no currency: tested first, since that is cheap."""


def stated(text: str, otherwise: str) -> str:
    """The ISO 4217 code that the text of an amount names, as SQL; NULL where it names none.

    A sign of several currencies means ``otherwise`` where that is one of them.

    Args:
        text: the amount's text, as SQL.
        otherwise: the row's own currency or the shop's, as SQL.
    """
    token = f"lower(regexp_extract({text}, {sql.literal(TOKEN)}))"
    cases = "".join(
        f" WHEN {sql.literal(sign)} THEN CASE WHEN {otherwise} IN ({', '.join(map(sql.literal, codes))})"
        f" THEN {otherwise} ELSE {sql.literal(codes[0])} END"
        for sign, codes in SIGNS.items()
    )
    named = f"CASE {token} WHEN '' THEN NULL{cases} ELSE upper({token}) END"
    return f"CASE WHEN regexp_full_match({text}, '{_ONLY_DIGITS}') THEN NULL ELSE {named} END"
