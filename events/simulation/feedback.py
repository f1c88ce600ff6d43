"""Feedback of the simulated customers: reviews with stars and a few words, complaints, surveys.

Each order leaves its customer more or less content, less if it is returned or is the last order. Stars,
words, scores and complaints follow from that, with noise. Each customer has a separate random stream for
feedback, so that all other events do not depend on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.simulation.orders import Batch, delays_s
from events.simulation.truth import CATEGORIES, PRODUCTS_PER_CATEGORY, Floats, Ints, Plan, ShopTime
from events.taxonomy import MEANINGS

Bools = NDArray[np.bool_]
Phrases = Mapping[str, tuple[str, ...]]
STREAM = 6  # after those of the other activities
# Shares of the orders: with a review, a complaint, one where it is returned, a survey that is answered; and
# of the complaints, those that are resolved.
REVIEWED, COMPLAINED, COMPLAINED_RETURNED, ANSWERED, RESOLVED = 0.35, 0.08, 0.5, 0.25, 0.65
# The contentment with an order, 0 to 1: usually, and how much a return and the last order reduce it.
USUALLY, RETURNED, LAST, NOISE = 0.8, 0.4, 0.15, 0.5
CHINESE = 0.15  # of the customers write in Chinese
# Half-sentences by contentment and language; two make a text.
CONTENT: Phrases = {
    "en": (
        "Very happy with it", "The quality is excellent", "Fast delivery, well wrapped",
        "Great value for the price", "The staff were polite and helpful", "Exactly as pictured",
        "It fits perfectly", "I would buy it again",
    ),
    "zh": (
        "非常满意", "质量很好", "物流很快，包装完好", "性价比很高", "客服态度很好", "和图片一样漂亮",
        "尺码很合适", "还会再买",
    ),
}  # fmt: skip
NEUTRAL: Phrases = {
    "en": (
        "It does what it should", "Nothing special", "Fine for everyday use",
        "The colour is a little different",
    ),
    "zh": ("还可以", "一般般", "日常用够了", "颜色和图片有点不一样"),
}  # fmt: skip
DISCONTENT: Phrases = {
    "en": (
        "It broke after a week", "The parcel arrived late and damaged", "Poor quality for the price",
        "Customer service never replied", "I want my money back", "The size is wrong", "Very disappointed",
        "It looks like a fake", "Delivery took three weeks",
    ),
    "zh": (
        "用了一周就坏了", "快递太慢，箱子破损", "质量太差，不值这个价", "客服一直不回复", "要求退款",
        "尺码不对", "非常失望", "感觉是假货", "发货等了三周",
    ),
}  # fmt: skip
DRAWS = 13
# The columns of an order's uniform random numbers; words and contentment take two each.
REVIEW, COMPLAINT, RESOLUTION, SURVEY, WAIT, LATE, DELAY, WORDS, COMPLAINT_WORDS, MOOD = (*range(8), 9, 11)


@dataclass(frozen=True)
class _Answers:
    """The feedback about some orders, by number, and its moments; properties are JSON."""

    name: str
    orders: Ints
    moments: Floats
    properties: list[str]


def feedback_columns(batch: Batch, plan: Plan, time: ShopTime, ids: Any, products: Ints) -> dict[str, Any]:
    """Further rows of ``activities``, as columns.

    Args:
        ids: the customers' ids.
        products: the first product of each order, by number.
    """
    buyers, (u, chinese) = np.array(batch.buyers, np.int64), _draws(batch, plan)
    parts = _answers(batch, time, u, chinese[buyers], _content(batch, buyers, u))
    order = np.concatenate([part.orders for part in parts])
    names = np.repeat(np.array([part.name for part in parts], object), [len(part.orders) for part in parts])
    seconds = time.utc_seconds(np.concatenate([part.moments for part in parts]))
    tickets = [f"ticket-{batch.numbers[buyers[i]]:06d}-{batch.nth[i]}" for i in order.tolist()]
    about, categories = names == "Product Reviewed", np.array(list(CATEGORIES), object)
    codes = np.array([f"{c}-{i + 1:02d}" for c in CATEGORIES for i in range(PRODUCTS_PER_CATEGORY)], object)
    return {
        "customer_id": ids[buyers[order]],
        "timestamp": seconds,
        "received_at": seconds + delays_s(plan, u[order, LATE], u[order, DELAY]),
        "name": names,
        "kind": [MEANINGS[name].kind for name in names.tolist()],
        "channel": ["web"] * len(order),
        "reference": [t if n.startswith("Complaint") else None for t, n in zip(tickets, names, strict=True)],
        "product_id": np.where(about, codes[products[order]], None),
        "category": np.where(about, categories[products[order] // PRODUCTS_PER_CATEGORY], None),
        "amount": [None] * len(order),
        "properties": [text for part in parts for text in part.properties],
    }


def _draws(batch: Batch, plan: Plan) -> tuple[Floats, Bools]:
    """Uniform random numbers of each order, and whether each customer writes in Chinese."""
    counts = np.bincount(np.array(batch.buyers, np.int64), minlength=len(batch.numbers)).tolist()
    rngs = [np.random.default_rng([plan.seed, number, STREAM]) for number in batch.numbers]
    chinese = np.array([rng.random() < CHINESE for rng in rngs], bool)
    drawn = [rng.random((count, DRAWS)) for rng, count in zip(rngs, counts, strict=True)]
    return np.concatenate([np.empty((0, DRAWS)), *drawn]), chinese


def _content(batch: Batch, buyers: Ints, u: Floats) -> Floats:
    """The customer's contentment with each order, 0 to 1."""
    ordered, returned = np.array(batch.moments, float), np.array(batch.refunds, float)
    left = np.array(batch.dropouts, float)[buyers]
    last = (left == ordered) | (np.isfinite(returned) & (left == returned))
    usual = USUALLY - RETURNED * np.isfinite(returned) - LAST * last
    content: Floats = np.clip(usual + NOISE * (u[:, MOOD] + u[:, MOOD + 1] - 1), 0, 1)
    return content


def _answers(batch: Batch, time: ShopTime, u: Floats, chinese: Bools, content: Floats) -> list[_Answers]:
    ordered, returned = np.array(batch.moments, float), np.array(batch.refunds, float)
    comes_back = np.isfinite(returned)
    opened = ordered + 1.5 + 1.5 * u[:, WAIT]  # before any return
    resolved = opened + 0.2 + 12 * u[:, RESOLUTION]
    reviewed = np.where(comes_back, returned, ordered + 3 + 9 * u[:, WAIT]) + 0.1
    answered = reviewed + 1
    complains = u[:, COMPLAINT] < np.where(comes_back, COMPLAINED_RETURNED, COMPLAINED)
    stars = np.round(1 + 4 * content).astype(np.int64)
    scores = np.round(10 * content).astype(np.int64)

    def answers(name: str, where: Bools, moments: Floats, tell: Callable[[int], dict[str, Any]]) -> _Answers:
        orders = np.flatnonzero(where & (moments < time.end))
        properties = (json.dumps(tell(i), ensure_ascii=False, separators=(",", ":")) for i in orders.tolist())
        return _Answers(name, orders, moments[orders], [*properties])

    def words(i: int, mood: Phrases, column: int) -> str:
        return _words(mood, bool(chinese[i]), u[i, column : column + 2])

    def review(i: int) -> dict[str, Any]:
        mood = DISCONTENT if stars[i] < 3 else NEUTRAL if stars[i] == 3 else CONTENT
        return {"rating": int(stars[i]), "review_body": words(i, mood, WORDS)}

    return [
        answers("Product Reviewed", u[:, REVIEW] < REVIEWED, reviewed, review),
        answers(
            "Complaint Opened", complains, opened, lambda i: {"text": words(i, DISCONTENT, COMPLAINT_WORDS)}
        ),
        answers("Complaint Resolved", complains & (u[:, RESOLUTION] < RESOLVED), resolved, lambda _: {}),
        answers("Survey Answered", u[:, SURVEY] < ANSWERED, answered, lambda i: {"score": int(scores[i])}),
    ]


def _words(phrases: Phrases, chinese: bool, shares: Floats) -> str:
    """A text of one or two phrases."""
    chosen = phrases["zh" if chinese else "en"]
    parts = dict.fromkeys(chosen[int(share * len(chosen))] for share in shares)
    return ("，".join(parts) + "。") if chinese else (". ".join(parts) + ".")
