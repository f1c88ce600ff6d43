"""The cells of a row of recommendations: labels in the language, rounded numbers, times in a zone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from decisions.names.channels import CHANNELS
from decisions.reasons import Language
from features.offline.segment_overview import KINDS
from serving.files.layouts import CODES, ExportLayout

IDS = {"customer_id", "decision_id", "run_id"}
HOW: Mapping[Language, Mapping[str, str]] = {
    "en": {"best": "best", "explored": "explored", "control": "control group", "holdout": "holdout"},
    "zh": {"best": "最优", "explored": "随机试验", "control": "对照组", "holdout": "长期对照组"},
}
DECIMALS = {"expected_value": 2, "cost": 2, "clv": 2, "probability": 6, "churn": 6, "propensity": 6}
"""The decimals of a field: money has two, a probability six."""
DIGITS = 16
"""The significant digits of a number; spreadsheets and CRMs store no more."""
_EXACT = Context(prec=DIGITS)
# Controls, ends of lines and code points that XML and importers refuse.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]+")

Cell: TypeAlias = str | Decimal | datetime | None


def row_cells(
    layout: ExportLayout, language: Language, zone: str
) -> Callable[[Mapping[str, Any]], list[Cell]]:
    """A function from a row to its cells in the order of a layout.

    Ids and texts are strings, numbers are Decimal and finite, times are aware, in UTC or in the shop's
    zone. A missing value is None, or the text by which the layout's reader clears a field.

    Args:
        zone: the shop's time zone.
    """
    tz = ZoneInfo(zone) if layout.zone == "shop" else UTC
    drop = partial(_clean, without=layout.without) if layout.ids == "plain" else str
    all_labels = _labels(language)
    columns = [(CODES.get(name, name), all_labels.get(name, {})) for name in layout.columns]

    def cell(field: str, value: Any, labels: Mapping[str, str]) -> Cell:
        if value is None:
            return None if field in IDS else layout.empty or None
        if isinstance(value, datetime):
            return value.astimezone(tz)
        if isinstance(value, Real | Decimal):
            return rounded(value, DECIMALS.get(field, 6))
        return str(value) if field in IDS else drop(labels.get(value, str(value)))

    return lambda row: [cell(field, row[field], labels) for field, labels in columns]


def rounded(value: Real | Decimal, decimals: int) -> Decimal | None:
    """The number with at most 16 significant digits and so many decimals; None if it is not finite."""
    if isinstance(value, Integral):
        return _EXACT.plus(Decimal(int(value)))
    if not math.isfinite(value):
        return None
    exact = _EXACT.plus(value if isinstance(value, Decimal) else Decimal(repr(float(value))))
    decimals_now = -int(exact.as_tuple().exponent)
    return (round(exact, decimals) if decimals_now > decimals else exact) or Decimal(0)


def _clean(text: str, without: str) -> str:
    """The text without forbidden characters, each run of them replaced by a blank."""
    clean = _FORBIDDEN.sub(" ", text)
    return clean.translate({ord(c): " " for c in without}) if without else clean


def _labels(language: Language) -> dict[str, Mapping[str, str]]:
    """What the codes of a field are called."""
    return {"how": HOW[language], "channel": CHANNELS if language == "zh" else {}} | {
        kind: {name: s.chinese if language == "zh" else s.english for name, s in segments.items()}
        for kind, segments in KINDS.items()
    }
