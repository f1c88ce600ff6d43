"""Whom channels reach, as the service counts it: anew when customers say something, of a large shop later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.home import Home
from core.storage.database import Database
from decisions.catalogue import saved_audiences
from decisions.catalogue.audience_sizes import list_audiences
from events import journal
from events.journal import Message
from events.segment.translate import Place, translate
from serving.audiences import reach
from serving.audiences.reach import CurrentReach

ACTIONS = """
margin = 0.4
exploration_share = 0.0
[channels.email]
consent = "required"
[[actions]]
name = "mail"
channel = "email"
cost = 0.1
effect = { on = "propensity", times = 1.1 }
"""


@pytest.fixture
def home(import_sales: Callable[..., Home], build_features: Callable[..., Any], tmp_path: Path) -> Home:
    home = import_sales(tmp_path, [("ann", date(2024, 3, 1), 10.0), ("ben", date(2024, 3, 2), 20.0)])
    build_features(home, monthly=False)
    home.actions.write_text(ACTIONS)
    saved_audiences.put(home, "everybody", {"rule": "orders_total >= 1"}, None)
    return home


def reached(home: Home, source: CurrentReach) -> int | None:
    (row,) = list_audiences(home, source=source)["audiences"]
    assert (row["reach"] is None) == (row["reach_as_of"] is None)
    return None if row["reach"] is None else row["reach"]["email"]


def subscribe(home: Home, customer_id: str) -> None:
    at = home.shop().now() - timedelta(hours=1)
    event = {"type": "track", "event": "Subscribed", "userId": customer_id, "timestamp": at.isoformat()}
    message = translate(event, at, Place("Europe/Berlin", "EUR"))
    assert isinstance(message, Message)
    journal.append(Database(home), [message], compacted_seq=0)


def test_a_request_counts_anew_what_customers_said_since(home: Home) -> None:
    source = CurrentReach(home)
    assert reached(home, source) == 0
    subscribe(home, "ann")
    assert reached(home, source) == 1


def test_a_large_shop_has_the_count_before_until_a_thread_has_counted(
    home: Home, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setattr(reach, "MAX_AT_ONCE", 0)
    source = CurrentReach(home, pause_s=0.0)
    assert reached(home, source) is None
    until(lambda: reached(home, source) == 0)
    subscribe(home, "ann")
    assert reached(home, source) == 0  # which the request does not wait to change
    until(lambda: reached(home, source) == 1)
    source.close()
    subscribe(home, "ben")
    assert reached(home, source) == 1
    assert not source.is_counting
