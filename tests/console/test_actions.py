"""The pages of actions show the API's catalogue, and change the service's own one by a form."""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx

from core.home import Home

ConsoleOver = Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]
FIRST = {
    "digest": "", "name": "reminder", "channel": "app", "cost": "0.05", "repeat_after_days": "7",
    "rule": "orders_total >= 2", "on": "propensity", "times": "1.2", "text_en": "<b>Hello</b>",
    "margin": "40", "exploration_share": "5", "holdout_share": "10",
}  # fmt: skip


def test_actions_are_made_previewed_changed_and_deleted_by_forms(
    built_shop: Home,
    copy_home: Callable[..., Home],
    console_over: ConsoleOver,
    signed_in: Callable[..., Callable[..., httpx.Response]],
) -> None:
    home = copy_home(built_shop)
    with console_over(home) as ask:
        assert "No action is declared" in ask("/console/actions").text
        assert ask("/console/actions/save", method="POST", data=FIRST).status_code == 403
        send = signed_in(ask, home)
        shown = send("/console/actions/preview", **FIRST).headers["location"]
        assert "form_token" not in shown
        preview = send(shown).text
        assert not home.actions.exists()
        assert "&lt;b&gt;Hello" in preview
        assert send("/console/actions/save", **FIRST).headers["location"] == "/console/actions"

        stored = ask("/v1/actions").json()
        (action,) = stored["actions"]
        assert (action["cost"], action["effect"]["times"], action["rule"]) == (0.05, 1.2, "orders_total >= 2")
        assert f"{action['fits']} of {stored['customers']} customers" in preview
        page = send("/console/actions").text
        assert f">{action['fits']}</td>" in page
        assert all(html.escape(warning["en"]) in html.unescape(page) for warning in stored["warnings"])
        assert "orders_total &gt;= 2" in send("/console/actions/edit?name=reminder").text

        digest = {"digest": stored["digest"]}
        wrong = send(
            send("/console/actions/preview", **FIRST | digest | {"rule": "orders >>"}).headers["location"]
        )
        assert "rule" in wrong.text
        assert "customers fit" not in wrong.text
        assert send("/console/actions/save", **FIRST | digest | {"cost": "a lot"}).status_code == 409
        changed = send("/console/actions/save", **FIRST | digest | {"cost": "0.5"})
        assert changed.status_code == 303
        stale = send("/console/actions/save", **FIRST | digest | {"cost": "0.7"})
        assert (stale.status_code, "somebody changed the actions" in stale.text) == (409, True)
        (action,) = ask("/v1/actions").json()["actions"]
        assert action["cost"] == 0.5
        gone = {"digest": ask("/v1/actions").json()["digest"], "name": "nobody"}
        assert send("/console/actions/delete", **gone).status_code == 409


def test_a_file_that_a_person_wrote_is_read_only(
    built_shop: Home,
    copy_home: Callable[..., Home],
    console_over: ConsoleOver,
    signed_in: Callable[..., Callable[..., httpx.Response]],
) -> None:
    home = copy_home(built_shop)
    content = (
        "margin = 0.4\nexploration_share = 0\n[[actions]]\nname = 'call'\nchannel = 'phone'\ncost = 2\n"
        "effect = { on = 'churn', times = 0.8 }\n"
    )
    home.actions.write_text(content)
    with console_over(home) as ask:
        send = signed_in(ask, home)
        page = send("/console/actions").text
        assert "which a person wrote" in page
        assert "/console/actions/edit" not in page
        assert "written by hand" in send("/console/actions/edit").text
        assert send("/console/actions/save", **FIRST).status_code == 409
        assert home.actions.read_text() == content
