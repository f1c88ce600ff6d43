"""Suppression after rejections and ignored contacts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisions.policies.suppression import Suppression, complaint, refusal
from records.contacts import MARKETING, SERVICE, Contact

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)


def contact(
    days_ago: float, *outcomes: str, action: str = "mail", channel: str = "email", group: str | None = None,
    purpose: str = MARKETING, kind: str = "sent",
) -> Contact:  # fmt: skip
    at = NOW - timedelta(days=days_ago)
    return Contact(f"{days_ago}", action, group, channel, purpose, kind, at, outcomes=frozenset(outcomes))


def suppressed(rule: Suppression, *contacts: Contact, **tags: Any) -> bool:
    asked_for: dict[str, Any] = {"action": "mail", "group": None, "channel": "email"} | tags
    return refusal([rule], contacts, NOW, **asked_for) is not None


REJECTIONS = Suppression(after=2, of="rejected", within_days=7, for_days=30)


@pytest.mark.parametrize(
    ("days_ago", "expected"),
    [
        ((1,), False),
        ((1, 3), True),
        ((1, 8), True),  # seven days apart
        ((1, 8.1), False),
        ((29.9, 31), True),
        ((30, 31), False),  # exactly 30 days later
        ((0, 20, 40), False),
        ((0, 25, 26), True),  # the two earlier ones were within seven days
    ],
)
def test_rejections_within_days_suppress_for_days(days_ago: tuple[float, ...], expected: bool) -> None:
    assert suppressed(REJECTIONS, *(contact(days, "shown", "rejected") for days in days_ago)) is expected


def test_a_contact_is_ignored_after_a_day_without_a_response() -> None:
    rule = Suppression(after=2, of="ignored", within_days=30, for_days=10)
    assert suppressed(rule, contact(1), contact(2, "shown"))
    assert not suppressed(rule, contact(0.9), contact(2))
    for response in ("clicked", "accepted", "rejected", "converted"):
        assert not suppressed(rule, contact(1, response), contact(2))
    assert not suppressed(rule, contact(1, kind="reserved"), contact(2))
    assert not suppressed(rule, contact(1, purpose=SERVICE), contact(2))


@pytest.mark.parametrize("per", ["action", "group", "channel", "all"])
def test_what_is_counted_is_what_is_suppressed(per: Any) -> None:
    rule = Suppression(after=1, of="rejected", within_days=7, for_days=7, per=per)
    rejected = contact(1, "rejected", group="promo")
    tags = {"action": "mail", "group": "promo", "channel": "email"}
    assert suppressed(rule, rejected, **tags)
    for name, other in {"action": "letter", "group": "care", "channel": "post"}.items():
        assert suppressed(rule, rejected, **tags | {name: other}) is (per != name)
    no_group = contact(1, "rejected")
    assert suppressed(rule, no_group, **tags | {"group": None}) is (per != "group")


def test_reasons_say_until_when() -> None:
    why = refusal(
        [REJECTIONS], [contact(1, "rejected"), contact(2, "rejected")], NOW,
        action="mail", group=None, channel="email",
    )  # fmt: skip
    assert why is not None
    assert why.words("en") == "rejected 2 times; not contacted until 2026-06-29"
    assert why.words("zh") == "已拒绝 2 次，2026-06-29 前不再联系"


def test_an_open_complaint() -> None:
    for count, expected in ((None, False), (0, False), (1, True), (float("nan"), False)):
        assert (complaint({"open_complaints": count}) is not None) is expected
