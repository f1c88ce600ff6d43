"""The pages of plans: previews, plans that are made in the background, and their release."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import numpy as np

from console.words.messages import Translator
from core.home import Home
from records.audit.log import AuditLog
from records.job import SERVICE
from records.plans.store import PlanJob, PlanPreviewStore

WORDS = Translator("en", "UTC", "EUR")
Ask = Callable[..., httpx.Response]


def wait_for(send: Callable[[str], httpx.Response], path: str, text: str) -> str:
    """The page once it has a text."""
    deadline = time.monotonic() + 60
    while text not in (page := send(path).text):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)
    return page


def test_a_preview_is_computed_in_the_background_and_says_what_a_plan_would_do(
    client: httpx.Client, console_home: Home
) -> None:
    empty = client.get("/console/plan").text
    assert 'name="budget"' in empty
    assert 'method="get"' in empty  # nobody is signed in
    path = "/console/plan?budget=50"
    page = wait_for(client.get, path, "this budget")
    assert "hx-trigger" not in page
    assert page.count("/console/customers/") >= 1
    previews = PlanPreviewStore(console_home).list_jobs()
    assert client.get(path).text == page  # which is read, and not computed again
    assert PlanPreviewStore(console_home).list_jobs() == previews
    assert client.get("/console/export/plan/customers.csv?budget=50").status_code == 200
    assert "No plan was made yet" in page  # a preview is none
    with httpx.Client(base_url=client.base_url, headers={"accept-language": "zh"}) as chinese:
        wait_for(chinese.get, f"{path}&segment=value_tier:A", "预期收益")


def test_a_preview_begins_when_another_one_is_done(
    console_home: Home, copy_home: Callable[[Home], Home], open_local: Callable[[Home], Any]
) -> None:
    home = copy_home(console_home)
    local, store = open_local(home), PlanPreviewStore(home)
    other = PlanJob(
        at=home.shop().now(), segment=None, origin=SERVICE, caller=None, channels=None, language="en",
        rules="", money=7.0,
    )  # fmt: skip
    with store.execute(store.create(other, [np.arange(1, 4)])):
        assert "Another preview is being computed" in local.get("/console/plan?budget=60").text
    wait_for(local.get, "/console/plan?budget=60", "this budget")


def test_an_amount_that_is_none_is_said_on_the_page(client: httpx.Client) -> None:
    for query in ("budget=-5", "budget=<b>", "budget=nan", "budget=5&segment=nobody:x"):
        response = client.get(f"/console/plan?{query}")
        assert response.status_code == 200
        assert 'role="alert"' in response.text
        assert "<b>" not in response.text


def test_a_plan_is_made_stored_and_released_once(
    console_home: Home,
    copy_home: Callable[[Home], Home],
    console_over: Callable[[Home], AbstractContextManager[Ask]],
    signed_in: Callable[..., Ask],
) -> None:
    home = copy_home(console_home)
    with console_over(home) as ask:
        send = signed_in(ask, home)
        assert 'method="post"' in send("/console/plan").text
        assert send("/console/plan", budget="-5", segment="").status_code == 409
        made = send("/console/plan", budget="50", segment="value_tier:A")
        assert made.status_code == 303
        path = made.headers["location"]
        page = wait_for(send, path, "Release the plan for")
        plan = ask(f"/v1{path.removeprefix('/console')}", params={"rows": 5}).json()
        assert WORDS.money(plan["plan"]["value"]) in page
        assert all(row["customer_id"] in page for row in plan["rows"])
        assert path in send("/console/plan").text

        assert ask(f"{path}/release", method="POST", data={"form_token": "x"}).status_code == 401
        for _ in range(2):
            assert send(f"{path}/release", id=plan["plan_id"]).status_code == 303
        wait_for(send, path, "what was planned")
        while "hx-trigger" in (page := send(path).text):  # until the release is done
            time.sleep(0.1)
        assert "Release the plan for" not in page
        release = ask(f"/v1{path.removeprefix('/console')}").json()["release"]
        assert (
            release["reserved"] + sum(n["customers"] for n in release["not_reserved"])
            == plan["plan"]["contacts"]
        )
        whats = [entry.what for entry in AuditLog(home).newest(50)]
        assert whats.count("released a plan") == 2
        assert whats.count("made a plan") == 1
        assert "read a plan" in whats
        assert send("/console/plans/nothing").status_code == 404
