"""What requests to the API leave in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from core.home import Home
from events.identity import Identity
from records.audit.log import AuditLog
from serving.access.keys import Keys


def test_changes_and_looks_are_recorded_with_the_key_and_what_fails_is_not(
    shop_copy: Home, console_over: Callable[..., Any]
) -> None:
    _, secret = Keys(shop_copy).create("crm", ["customers", "actions"])
    ((key, customer_id),) = list(Identity(shop_copy).ids([1]).items())
    timeline = f"/v1/customers/{quote(customer_id, safe='')}/timeline"
    action = {"channel": "email", "cost": 0.1, "effect": {"on": "propensity", "times": 1.2}}
    catalogue = {
        "margin": 0.4, "exploration_share": 0.0, "holdout_share": 0.05,
        "actions": [{"name": "mail"} | action],
    }  # fmt: skip
    mine = {"authorization": f"Bearer {secret}"}
    with console_over(shop_copy) as ask:
        assert ask(timeline, headers=mine).status_code == 200
        assert ask("/v1/customers/nobody/timeline", headers=mine).status_code == 404
        put = {"method": "PUT", "headers": mine}
        response = ask("/v1/actions", json=catalogue, **put)
        assert response.status_code == 200, response.text
        assert ask("/v1/actions/second", json=action, **put).status_code == 412  # without If-Match
        assert AuditLog(shop_copy).newest(1)[0].what == "changed the actions"
        assert ask("/v1/audiences", headers=mine).status_code == 403
        assert ask(timeline).status_code == 200  # on this machine no key is needed
    log = AuditLog(shop_copy)
    entries = {(entry.by, entry.what, entry.about) for entry in log.newest(10)}
    assert entries == {
        ("key crm", "looked at a timeline", str(key)),
        ("no key", "looked at a timeline", str(key)),
        ("key crm", "changed the actions", ""),
    }
    assert log.verify().broken_at is None
