"""SQL expressions for the mapped columns of ``raw``: ids, numbers, moments, conditions and categories."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.storage import sql
from events.files.currencies import TOKEN
from events.files.mapping import FileSection
from events.files.orders_section import CategoryWords, Match, OrdersSection
from events.files.reader import raw_column
from events.identity import customer_ids

NO_ONE = "('', 'nan', 'none', 'null', 'n/a', '-')"
"""Texts that stand for a missing customer or trait, as an SQL list."""
EXCEL_DAYS = "excel"
NUMERIC_TIMES = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, EXCEL_DAYS: 1}
"""Names of formats of times that are numbers, with their units in a second."""
_NO_DIGITS = rf"{TOKEN}|[\s\x{{00A0}}\x{{202F}}]"
_NEGATIVE = r"^(?:\(([^()]*)\)|([^-]+)-)$"
_BOTH_MARKS = {",": r"^-?\d{1,3}(,\d{3})+\.\d+$", ".": r"^-?\d{1,3}(\.\d{3})+,\d+$"}
"""The separator of thousands, and what an amount with both separators looks like then."""
_FOLDED = "[!-~]([ -~]*[!-~])?"
_BLANK_BEFORE_OFFSET = r"\s+([+-]\d\d:?\d\d)$"
_ZONED = r":\d\d(\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"


def identifier(column: str) -> str:
    """An id as text; numbers that a spreadsheet gave a decimal point lose it."""
    return f"regexp_replace(trim({raw_column(column)}::VARCHAR), '^(\\d+)\\.0+$', '\\1')"


def customer(column: str) -> str:
    """A customer's id in its one spelling; NULL for placeholders and ids with control characters.

    See :mod:`events.identity.customer_ids`.
    """
    given = f"{raw_column(column)}::VARCHAR"
    folded = f"trim(nfc_normalize({given}), {sql.literal(customer_ids.BLANKS)})"
    # Most ids are of ASCII and without outer blanks: tested first, since trimming Unicode's blanks is slow.
    spelt = f"CASE WHEN regexp_full_match({given}, '{_FOLDED}') THEN {given} ELSE {folded} END"
    text = f"regexp_replace({spelt}, '^(\\d+)\\.0+$', '\\1')"
    placeholders = ", ".join(map(sql.literal, customer_ids.PLACEHOLDERS))
    refused = (
        f"{text} = '' OR lower({text}) IN ({placeholders})"
        f" OR regexp_full_match({text}, {sql.literal(customer_ids.ZEROES)})"
        f" OR regexp_matches({text}, '[\\x00-\\x1f\\x7f-\\x{{9f}}]')"
    )
    return f"CASE WHEN NOT ({refused}) THEN {text} END"


def text(column: str | None) -> str:
    """A mapped column's text without blanks around it."""
    return f"trim({raw_column(column)}::VARCHAR)"


def number(column: str | None, file: FileSection) -> str:
    """A number, also with a currency, thousands separators, the file's decimal mark, ``(5)`` and ``5-``.

    Of a text with both separators, such as ``1.070,00``, the last one is the decimal mark.
    """
    return number_of(text(column), file.decimal, file.thousands)


def number_of(given: str, decimal: str, thousands: str) -> str:
    """The number that an SQL text writes; see :func:`number`."""
    bare = f"regexp_replace({given}, {sql.literal(_NO_DIGITS)}, '', 'g')"
    bare = f"regexp_replace(replace({bare}, '\u2212', '-'), '{_NEGATIVE}', '-\\1\\2')"
    cases = [
        f"WHEN regexp_matches({bare}, '{pattern}')"
        f" THEN TRY_CAST(replace(replace({bare}, '{separator}', ''), ',', '.') AS DOUBLE)"
        for separator, pattern in _BOTH_MARKS.items()
    ]
    plain = f"replace({bare}, {sql.literal(thousands)}, '')" if thousands else bare
    if decimal == ",":
        plain = f"replace({plain}, ',', '.')"
    parsed = f"CASE {' '.join(cases)} ELSE TRY_CAST({plain} AS DOUBLE) END"
    return parsed if decimal == "," else f"coalesce(TRY_CAST({given} AS DOUBLE), {parsed})"


def share(column: str | None, file: FileSection) -> str:
    """A share from 0 to 1, or NULL: of ``20 %``, and of 20 where a number of the column is above 1."""
    value = number(column, file)
    percent = f"TRY_CAST(replace(rtrim({text(column)}, ' %'), ',', '.') AS DOUBLE) / 100"
    whole = f"CASE WHEN max({value}) OVER () > 1 THEN {value} / 100 ELSE {value} END"
    parsed = f"CASE WHEN ends_with({text(column)}, '%') THEN {percent} ELSE {whole} END"
    return f"CASE WHEN {parsed} BETWEEN 0 AND 1 THEN {parsed} END"


def moment(column: str | Sequence[str] | None, formats: Sequence[str], zone: str) -> str:
    """A moment in UTC: with a zone as it says, without one in the shop's.

    Args:
        column: the column, or the columns of a date and a time of day.
        formats: tried in turn: of ``strptime``, or the names in ``NUMERIC_TIMES``; none for ISO 8601.
    """
    return moment_of(moment_text(column), formats, zone)


def moment_text(column: str | Sequence[str] | None) -> str:
    """The text of a moment; a time of day in a column of its own stands in place of the date's midnight."""
    if column is None or isinstance(column, str):
        return f"trim({raw_column(column)}::VARCHAR)"
    texts = [f"trim({raw_column(name)}::VARCHAR)" for name in column]
    return joined_texts(texts)


def joined_texts(texts: Sequence[str]) -> str:
    """A date and a time of day, as SQL texts, as one text."""
    if len(texts) == 1:
        return texts[0]
    dates = [f"regexp_replace({text}, '[ T]00:00(:00(\\.0+)?)?$', '')" for text in texts[:-1]]
    return f"concat_ws(' ', {', '.join([*dates, texts[-1]])})"


def moment_of(text: str, formats: Sequence[str], zone: str) -> str:
    """The moment that an SQL text writes, in UTC; NULL if it fits no format."""
    if not formats:
        iso = f"regexp_replace({text}, '{_BLANK_BEFORE_OFFSET}', '\\1')"
        instant = f"timezone('UTC', TRY_CAST({iso} AS TIMESTAMPTZ))"
        local = local_moment(f"TRY_CAST({text} AS TIMESTAMP)", zone)
        return f"CASE WHEN regexp_matches({text}, '{_ZONED}') THEN {instant} ELSE {local} END"
    written = [f for f in formats if f not in NUMERIC_TIMES]
    zoned = [f for f in written if re.search("%z", f, re.IGNORECASE)]
    naive = [f for f in written if f not in zoned]
    instants = [f"timezone('UTC', {_strptime(text, zoned)})"] if zoned else []
    locals_ = [local_moment(_strptime(text, naive), zone)] if naive else []
    numeric = [_numeric_time(text, name, zone) for name in formats if name in NUMERIC_TIMES]
    return f"coalesce({', '.join([*instants, *locals_, *numeric, 'NULL'])})"


def _numeric_time(text: str, name: str, zone: str) -> str:
    """A moment that is written as a number: of units since 1970 (UTC), or of a spreadsheet's days."""
    number = f"TRY_CAST({text} AS DOUBLE)"
    seconds = f"({number} - 25569) * 86400" if name == EXCEL_DAYS else f"{number} / {NUMERIC_TIMES[name]}"
    stamp = f"CASE WHEN abs({seconds}) < 1e10 THEN make_timestamp(round(({seconds}) * 1e6)::BIGINT) END"
    if name == EXCEL_DAYS:  # rounded to the second: a day's fraction has no exact number
        stamp = f"date_trunc('second', {stamp} + INTERVAL 500 MILLISECOND)"
        return local_moment(stamp, zone)
    return stamp


def _strptime(text: str, formats: Sequence[str]) -> str:
    return f"try_strptime({text}, [{', '.join(map(sql.literal, formats))}])"


def local_moment(moment_sql: str, zone: str) -> str:
    """A local timestamp of a zone, in UTC."""
    return f"timezone('UTC', timezone({sql.literal(zone)}, {moment_sql}))"


def matches(match: Match | None, file: FileSection, value: str | None = None) -> str:
    """Whether a row matches a condition of the mapping.

    Args:
        value: the text to test in place of the column's, as SQL.
    """
    if match is None:
        return "false"
    text, tests = value or f"{raw_column(match.column)}::VARCHAR", []
    if match.starts_with is not None:
        tests.append(f"starts_with({text}, {sql.literal(match.starts_with)})")
    if match.one_of:
        tests.append(f"trim({text}) IN ({', '.join(map(sql.literal, match.one_of))})")
    if match.negative:
        tests.append(f"{number(match.column, file)} < 0")
    return f"({' OR '.join(tests) or 'false'})"


def category(orders: OrdersSection, file: FileSection) -> str:
    """The product's category: mapped, by words of a column, or NULL."""
    if orders.category is not None:
        return f"nullif(trim({raw_column(orders.category)}::VARCHAR), '')"
    if orders.category_words is None:
        return "NULL::VARCHAR"
    return _by_words(orders.category_words, file)


def _by_words(by: CategoryWords, file: FileSection) -> str:
    text = raw_column(by.column)
    patterns = {name: sql.literal(rf"\b({words})S?\b") for name, words in by.words.items()}
    cases = "".join(
        f" WHEN regexp_matches({text}, {pattern}) THEN {sql.literal(name)}"
        for name, pattern in patterns.items()
    )
    return f"CASE WHEN {matches(by.none_for, file)} THEN NULL{cases} ELSE {sql.literal(by.other)} END"
