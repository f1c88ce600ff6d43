"""The funnel of actions: each customer is lost at one stage, and the sentence says what is left."""

from __future__ import annotations

from decisions.results.funnel import FunnelCounter, describe


def test_a_customer_is_lost_at_the_stage_that_the_action_did_not_reach() -> None:
    counter = FunnelCounter()
    for _ in range(3):
        counter.add("mail", {"stages": {"letter": "eligible"}})
    counter.add("letter", {"stages": {"mail": "consented"}})
    counter.add("nothing", {"stages": {"mail": "within_limits", "letter": "suitable"}})
    counter.add("nothing", {"stages": {}, "withheld": "mail"})
    assert counter.by_action(["mail", "letter"]) == {
        "mail": {
            "eligible": 6, "suitable": 6, "consented": 5, "within_limits": 4, "within_budget": 4, "won": 3,
            "withheld": 1,
        },
        "letter": {
            "eligible": 3, "suitable": 2, "consented": 2, "within_limits": 2, "within_budget": 2, "won": 1,
            "withheld": 0,
        },
    }  # fmt: skip


def test_the_funnel_is_a_sentence_in_both_languages() -> None:
    counter = FunnelCounter()
    counter.add("mail", {})
    funnel, contacts = counter.by_action(["mail"])["mail"], {"sent": 1200, "accepted": 7}
    assert describe(1, funnel, contacts, 30, "en") == (
        "of 1 customers 1 eligible, 1 suitable, 1 consented, 1 within limits, 1 within budget, 1 won;"
        " in the last 30 days 1,200 contacts, 7 accepted"
    )
    assert describe(1, funnel, contacts, 30, "zh") == (
        "1 位客户：符合条件 1，适合 1，同意接收 1，未超联系上限 1，预算之内 1，被选中 1；"
        "近 30 天已联系 1,200 次，接受 7 次"
    )
