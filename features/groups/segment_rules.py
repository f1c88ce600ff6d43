"""The rules of segments as data: thresholds, names in two languages, and what keeps segments consistent.

A person reads the RFM segment beside the lifecycle stage and the value tier. So the three share no name, and
the stage and the tier limit the RFM segment: a customer who has lapsed is no champion, and a customer who is
on time is not hibernating. The grid is the usual one of ten segments by recency and by the mean of frequency
and money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LAPSED_AFTER_DAYS = 180
LATE_AFTER_ONE_ORDER_DAYS = 90
LATE_AFTER_GAPS = 2.0
MIN_LATE_DAYS = 30
LOYAL_ORDERS = 4


@dataclass(frozen=True)
class Segment:
    """A segment as shown to people: its name in two languages, and its rule in words."""

    english: str
    chinese: str
    meaning: str


RFM = {
    "champions": Segment("Champions", "重要价值客户", "ordered lately, often and for much"),
    "core": Segment("Core customers", "核心客户", "order often and for much, though not in the last weeks"),
    "promising": Segment("Promising", "潜在忠诚客户", "ordered lately, fairly often or for more"),
    "recent": Segment("Recent buyers", "近期下单客户", "ordered lately, seldom and for little"),
    "needs_attention": Segment("Needs attention", "需关注客户", "middling in all three"),
    "about_to_sleep": Segment(
        "About to sleep", "即将沉睡客户", "seldom, for little, and not in the last weeks"
    ),
    "cannot_lose": Segment(
        "Cannot lose", "重要挽留客户", "were among the best and have not ordered for long"
    ),
    "slipping": Segment("Slipping away", "下单减少客户", "used to order fairly often, and have not for long"),
    "hibernating": Segment("Hibernating", "沉睡客户", "seldom, for little, and not for long"),
    "inactive": Segment("Inactive", "久未回购客户", "seldom, for little, and not for longest"),
}
TIERS = {
    "A": Segment("A", "A 级", "bring most of the last year's net revenue, by the shop's setting for tier A"),
    "B": Segment("B", "B 级", "come next"),
    "C": Segment("C", "C 级", "brought something within the last year"),
    "D": Segment("D", "D 级", "brought nothing within the last year, after refunds"),
}
STAGES = {
    "prospect": Segment("Prospect", "未下单客户", "known, and has not ordered yet"),
    "new": Segment("New", "新客户", f"ordered once, at most {LATE_AFTER_ONE_ORDER_DAYS} days ago"),
    "repeat": Segment("Repeat", "复购客户", "ordered again, and is not late for the next order"),
    "loyal": Segment("Loyal", "忠诚客户", f"likewise, with {LOYAL_ORDERS} or more in 365 days"),
    "at_risk": Segment(
        "At risk",
        "流失风险",
        f"late for the next order: it is more than {LATE_AFTER_GAPS:g} of their median gaps ago, and"
        f" {MIN_LATE_DAYS} days; or {LATE_AFTER_ONE_ORDER_DAYS} days after a first order",
    ),
    "lapsed": Segment("Lapsed", "已流失", f"last ordered more than {LAPSED_AFTER_DAYS} days ago"),
}
FORMER_NAMES: Mapping[str, Mapping[str, str]] = {
    "rfm_segment": {
        "loyal": "core",
        "potential_loyalists": "promising",
        "newcomers": "recent",
        "at_risk": "slipping",
        "lost": "inactive",
    }
}
"""By feature, the names of segments in earlier releases and what they are called now."""

GRID = (
    ("inactive", "inactive", "slipping", "slipping", "cannot_lose"),
    ("hibernating", "hibernating", "slipping", "slipping", "cannot_lose"),
    ("about_to_sleep", "about_to_sleep", "needs_attention", "core", "core"),
    ("recent", "promising", "promising", "champions", "champions"),
    ("recent", "promising", "promising", "champions", "champions"),
)
"""RFM segments by recency from 1 (longest ago) to 5, and by worth from 1 to 5."""
RECENCY_LIMITS = {
    "new": (3, 5),
    "repeat": (3, 5),
    "loyal": (3, 5),
    "at_risk": (1, 3),
    "lapsed": (1, 2),
}
"""By stage the lowest and the highest recency with which a customer enters the grid."""
WORTH_LIMITS = {"new": (1, 3), "loyal": (3, 5)}
"""By stage the lowest and the highest worth."""


def current_name(feature: str, value: str) -> str:
    """The name of a segment today; a value that was never renamed is its own."""
    return FORMER_NAMES.get(feature, {}).get(value, value)
