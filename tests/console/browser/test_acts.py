"""The main act of each page in headless Chromium, signed in, also with hostile names and at bad moments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from core.home import Home
from core.storage.database import Database
from events.identity.tables import customers, ids
from events.journal import quarantine
from models.registry.registry import Registry
from models.registry.versions import TrainingRun
from records.accounts.accounts import Accounts
from records.accounts.roles import Role

PASSWORD = "correct horse battery"
HOSTILE = ("<script>alert(1)</script>", "مرحبا \u202eabc", "🦊" * 3, "x" * 200)
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def home(
    console_home: Home, tmp_path_factory: pytest.TempPathFactory, copy_into: Callable[[Home, Path], Home]
) -> Home:
    """The shop with accounts, hostile ids, a second churn version, a report, and a rejected event."""
    home = copy_into(console_home, tmp_path_factory.mktemp("acts") / "home")
    home.actions.unlink()  # so that the catalogue is the service's own
    for role in (Role.ADMIN, Role.MARKETER, Role.SCIENTIST):
        Accounts(home).create(role.value, role, PASSWORD)
    with Database(home).writing() as connection:
        known = connection.execute(sa.select(ids).order_by(ids.c.customer_key).limit(len(HOSTILE))).all()
        for (_, key, *_rest), hostile in zip(known, HOSTILE, strict=True):
            for table in (customers, ids):
                of_key = table.c.customer_key == key
                connection.execute(sa.update(table).where(of_key).values(customer_id=hostile))
        row = {"received_at_us": 1, "reason": "timestamp is before 1990", "message": "{}"}
        connection.execute(quarantine.insert().values(row))
    registry = Registry(home)
    files, _ = registry.files("churn", "1")
    registry.publish("churn", files, TrainingRun({}, {"auc": 0.9}, {}), ())
    home.reports.mkdir(exist_ok=True)
    report = {
        "model": "churn", "version": "1", "since": "2026-01-01T00:00:00+00:00", "customers": 300, "others": 0,
        "until": "2026-02-01T00:00:00+00:00", "verdict": "quiet", "columns": [], "level": None,
        "html": "churn-20260201T000000Z.html", "html_missing_because": None, "words": "",
    }  # fmt: skip
    (home.reports / "churn-20260201T000000Z.json").write_text(json.dumps(report))
    (home.reports / report["html"]).write_text("<h1>Evidently</h1>")
    return home


@pytest.fixture(scope="module")
def service(home: Home, serve: Callable[[Home], Any]) -> Iterator[str]:
    with serve(home) as address:
        yield address


@pytest.fixture
def signed_in(opened: Any, service: str) -> Iterator[Callable[..., Page]]:
    """A function (account, look) that opens the console in a profile of its own, signed in."""
    contexts = []

    def sign_in(account: str = "admin", **look: Any) -> Page:
        context = opened(service, locale="en-GB", **look)
        page: Page = context.__enter__()
        contexts.append(context)
        page.goto("/console/sign-in")
        page.fill("input[name=name]", account)
        page.fill("input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console")
        return page

    yield sign_in
    for context in reversed(contexts):
        context.__exit__(None, None, None)


def press(page: Page, name: str) -> None:
    """Press the button of that name and wait for the page that follows."""
    page.get_by_role("button", name=name, exact=True).first.click()
    page.wait_for_load_state()


def test_an_action_is_made_and_a_plan_for_500_is_released_once(signed_in: Callable[..., Page]) -> None:
    page = signed_in("marketer", viewport=PHONE)
    page.goto("/console/actions")
    page.get_by_role("button", name="Add an action").click()
    fields = {"margin": "40", "exploration_share": "0", "name": "reminder", "channel": "app", "cost": "1"}
    fields |= {"text_en": HOSTILE[0], "rule": "orders_total >= 1", "times": "1.3"}
    for name, value in fields.items():
        page.fill(f"input[name={name}]", value)
    press(page, "Preview")
    expect(page.locator("#preview")).to_be_visible()
    assert HOSTILE[0] in page.locator("input[name=text_en]").input_value()
    press(page, "Save")
    page.wait_for_url("**/console/actions")
    expect(page.get_by_role("link", name="reminder")).to_be_visible()

    page.goto("/console/plan")
    page.fill("input[name=budget]", "500")
    press(page, "Make the plan")
    release = page.get_by_role("button", name="Release the plan for")
    release.click()
    page.wait_for_load_state()
    expect(page.locator("#release")).to_be_visible(timeout=60_000)
    page.go_back()
    if release.count():  # the page as it was before the release
        release.click()
        page.wait_for_load_state()
    expect(page.get_by_role("button", name="The list as CSV")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="The list as CSV").click()
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) > 1


def test_an_audience_is_counted_while_typed_saved_and_kept_from_a_second_writer(
    signed_in: Callable[..., Page],
) -> None:
    page = signed_in("marketer")
    page.goto("/console/audiences")
    page.locator("textarea[name=rule]").press_sequentially("orders_total >= 2")
    expect(page.locator("#preview .card").first).to_be_visible()  # without a button
    page.fill("input[name=name]", "returning")
    page.fill("input[name=en]", f"{HOSTILE[0]} {HOSTILE[1]} {HOSTILE[2]}")
    press(page, "Save")
    page.wait_for_url("**/audiences/returning")
    assert HOSTILE[0] in page.locator("h1").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="All customers as CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) > 1

    other = signed_in("admin")
    for editor in (page, other):
        editor.goto("/console/audiences?name=returning")
        editor.fill("input[name=zh]", "复购客户")
    press(page, "Change")
    page.wait_for_url("**/audiences/returning")
    press(other, "Change")
    expect(other.get_by_role("alert")).to_contain_text("somebody changed this audience")
    other.go_back()
    assert other.locator("input[name=zh]").input_value() == "复购客户"


def test_hostile_ids_are_shown_as_text_and_lead_to_their_customer(signed_in: Callable[..., Page]) -> None:
    page = signed_in("marketer", viewport=PHONE)
    for customer_id in HOSTILE:
        page.goto("/console/customers")
        page.fill("input[name=customer_id]", customer_id)
        press(page, "Find")
        expect(page.locator("h1")).to_have_text(customer_id, use_inner_text=True)
        assert re.search(r"/console/customers/\d+$", page.url)  # proxies log addresses
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.goto("/console/customers")
    page.fill("input[name=customer_id]", "nobody")
    press(page, "Find")
    expect(page.get_by_text("No customer has this id.")).to_be_visible()
    assert "nobody" not in page.url


def test_a_scientist_reads_customers_without_their_ids(signed_in: Callable[..., Page]) -> None:
    page = signed_in("scientist", viewport=PHONE)
    page.goto("/console/customers")
    page.get_by_label("Customer number").fill("3")
    press(page, "Show")
    expect(page.get_by_text("Your role sees ids and traits in part only")).to_be_visible()
    link = page.locator("td a")
    expect(link).to_have_count(1)
    name = link.inner_text()
    link.click()
    expect(page.locator("h1")).to_have_text(f"Customer {name}")
    expect(page.locator(".portrait")).to_contain_text("Customer 3 ")
    expect(page.locator("main")).to_contain_text("Next best actions are shown to roles")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert not any(hostile in page.content() for hostile in HOSTILE)


def test_a_version_is_promoted_and_rolled_back_and_evidently_opened(signed_in: Callable[..., Page]) -> None:
    page = signed_in("admin")
    page.goto("/console/models/churn")
    promotion = page.locator("form[action$=promote]")
    promotion.locator("input[name=why]").fill("<b>better</b>")
    press(page, "Promote a version")
    expect(page.locator("ol.timeline")).to_contain_text("<b>better</b>")
    page.locator("form[action$=rollback] input[name=why]").fill("as before")
    press(page, "Roll back to version 1")
    expect(page.locator("ol.timeline")).to_contain_text("rolled back to version 1")
    page.goto("/console/monitoring")
    page.get_by_role("link", name="Evidently's report").click()
    expect(page.locator("h1")).to_have_text("Evidently")
    page.goto("/console/data")
    expect(page.locator("#table-quarantine").locator("xpath=ancestor::section")).to_contain_text(
        "timestamp is before 1990"
    )


def test_every_table_of_cohorts_and_segments_is_downloaded(signed_in: Callable[..., Page]) -> None:
    page = signed_in("marketer")
    for path in ("/console/cohorts", "/console/segments"):
        page.goto(path)
        for link in page.locator(".downloads a").all()[:2]:
            with page.expect_download() as download:
                link.click()
            assert Path(download.value.path()).stat().st_size > 0


def test_an_account_is_created_and_signs_out_everywhere(signed_in: Callable[..., Page], home: Home) -> None:
    page = signed_in("admin")
    page.goto("/console/access")
    form = page.locator("form[action$=accounts]")
    form.locator("input[name=name]").fill(HOSTILE[2])
    form.locator("input[name=password]").fill(PASSWORD)
    press(page, "Create account")
    first, second = signed_in(HOSTILE[2]), signed_in(HOSTILE[2])
    first.goto("/console/actions")
    assert "403" not in first.title()
    expect(first.get_by_role("status")).to_contain_text("needs the scope")  # a viewer
    Accounts(home).set_role(HOSTILE[2], Role.MARKETER)
    first.goto("/console/actions")
    expect(first.locator("h1")).to_have_text("Actions")
    second.goto("/console/audiences?rule=orders_total >= 3")
    second.fill("input[name=name]", "late")
    first.locator("details.settings summary").click()
    press(first, "Sign out everywhere")
    first.wait_for_url("**/sign-in")
    press(second, "Save")  # in the middle of a form
    expect(second.get_by_role("alert")).to_contain_text("a session that has ended")
    expect(second.locator("dl.facts")).to_contain_text("orders_total >= 3")


def test_a_form_of_another_site_changes_nothing(signed_in: Callable[..., Page], service: str) -> None:
    page = signed_in("admin")
    form = f'<form method="post" action="{service}/console/access/accounts"><input name="name" value="eve">'
    form += f'<input name="role" value="admin"><input name="password" value="{PASSWORD}"><button>Go</button>'
    page.route("http://127.0.0.1/forged", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://127.0.0.1/forged")
    press(page, "Go")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto("/console/access")
    assert page.get_by_text("eve", exact=True).count() == 0


def test_rejected_rows_of_an_import_are_announced_and_shown_by_reason(
    imported_home: Home, serve: Callable[[Home], Any], opened: Any
) -> None:
    with serve(imported_home) as address, opened(address, locale="en-GB", viewport=PHONE) as page:
        page.goto("/console")
        page.get_by_role("link", name="Menu").click()
        page.get_by_role("link", name="Data", exact=True).click()
        notice = page.get_by_role("status").filter(has_text="3 of 6 rows of the last import were rejected")
        notice.get_by_role("link", name="See the rows by reason").click()
        expect(page.locator("#table-rejected")).to_be_in_viewport()
        rejected = page.locator("section.table", has=page.locator("#table-rejected"))
        reasons = rejected.locator("tbody tr td:nth-child(2)").all_inner_texts()
        assert sorted(reasons) == ["no customer", "the same as another row", "unreadable"]
        expect(rejected).to_contain_text("day: yesterday")
        assert "cid" not in page.content()
