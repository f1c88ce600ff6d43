"""Audiences in the console: the preview of a rule, changes by people, and the customers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.home import Home
from decisions.catalogue.audience_sizes import list_audiences, size_of
from decisions.catalogue.saved_audiences import InvalidAudience
from records.accounts.accounts import Accounts
from records.accounts.roles import Role

PASSWORD = "correct horse battery"
RULE = "value_tier in (A, B) and orders_365d >= 2"


def test_a_rule_is_counted_as_the_audience_that_it_would_be(console_home: Home) -> None:
    listed = list_audiences(console_home)
    audience = next(a for a in listed["audiences"] if a["rule"] == RULE)
    (size,) = size_of(console_home, {"rule": RULE})["audiences"]
    assert size["customers"] > 0
    assert {key: size[key] for key in ("customers", "clv", "reach")} == {
        key: audience[key] for key in ("customers", "clv", "reach")
    }
    inside = size_of(console_home, {"rule": f"in audience {audience['name']} and churn > 0.5"})
    assert inside["audiences"][0]["customers"] < size["customers"]
    for rule in ("chrn > 1", "in audience nobody", "value_tier ="):
        with pytest.raises(InvalidAudience):
            size_of(console_home, {"rule": rule})


def test_the_page_shows_the_numbers_of_the_rule_and_what_is_wrong_with_it(
    client: httpx.Client, console_home: Home
) -> None:
    (size,) = size_of(console_home, {"rule": RULE})["audiences"]
    page = client.get("/console/audiences", params={"rule": RULE}).text
    assert f'<p class="value">{size["customers"]:,}</p>' in page
    assert "Sign in with the role" in page
    assert 'action="/console/audiences/save"' not in page
    wrong = client.get("/console/audiences", params={"rule": "chrn > <b>1"})
    assert wrong.status_code == 200
    assert 'class="notice warning"' in wrong.text
    assert "<b>1" not in wrong.text
    part = client.get("/console/audiences", params={"rule": RULE, "part": "preview"}).text
    assert f'<p class="value">{size["customers"]:,}</p>' in part


def test_the_customers_of_an_audience_are_paged_and_exported_as_by_the_api(client: httpx.Client) -> None:
    (audience,) = client.get("/v1/audiences").json()["audiences"]
    page = client.get(f"/console/audiences/{audience['name']}")
    assert page.status_code == 200
    assert 'rel="next"' in page.text
    response = client.get(f"/console/audiences/{audience['name']}/customers.csv")
    exported = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert len(exported) == audience["customers"]
    assert client.get("/console/audiences/none").status_code == 404
    assert client.get(f"/console/audiences/{audience['name']}/customers.exe").status_code == 404


@pytest.fixture
def home(import_sales: Callable[..., Home], tmp_path: Path) -> Home:
    from datetime import date

    home = import_sales(tmp_path, [("ann", date(2024, 3, 1), 10.5), ("ben", date(2024, 3, 2), 20.0)])
    for role in (Role.MARKETER, Role.VIEWER):
        Accounts(home).create(role.value, role, PASSWORD)
    return home


def test_a_marketer_saves_changes_and_deletes_an_audience_and_a_viewer_does_not(
    home: Home, open_local: Callable[[Home], Any]
) -> None:
    marketer, viewer = open_local(home), open_local(home)
    marketer.post("/console/sign-in", data={"name": "marketer", "password": PASSWORD})
    viewer.post("/console/sign-in", data={"name": "viewer", "password": PASSWORD})
    fields = {"name": "new_ones", "rule": "orders_total = 1", "en": "New <b>ones</b>"}
    refused = viewer.post("/console/audiences/save", data=fields | {"form_token": viewer.form_token()})
    assert refused.status_code == 403
    sent = fields | {"form_token": marketer.form_token()}
    saved = marketer.post("/console/audiences/save", data=sent)
    assert (saved.status_code, saved.headers["location"]) == (303, "/console/audiences/new_ones")
    (audience,) = list_audiences(home)["audiences"]
    assert (audience["rule"], audience["text"]) == ("orders_total = 1", {"en": "New <b>ones</b>"})
    assert "<b>ones" not in marketer.get("/console/audiences").text

    stale = marketer.post("/console/audiences/save", data=sent | {"rule": "orders_total = 2"})
    assert stale.status_code == 412  # it exists, and the form did not show it
    changed = sent | {"rule": "orders_total = 2", "digest": audience["digest"]}
    assert marketer.post("/console/audiences/save", data=changed).status_code == 303
    assert list_audiences(home)["audiences"][0]["rule"] == "orders_total = 2"
    for name in ("", "New ones", "x]\n[y", "a" * 51):
        response = marketer.post("/console/audiences/save", data=sent | {"name": name})
        assert 400 <= response.status_code < 500
    assert marketer.post("/console/audiences/save", data=changed | {"en": "x" * 201}).status_code == 422
    deleting = {"form_token": sent["form_token"], "digest": audience["digest"]}
    assert marketer.post("/console/audiences/new_ones/delete", data=deleting).status_code == 412
    deleting["digest"] = list_audiences(home)["audiences"][0]["digest"]
    assert marketer.post("/console/audiences/new_ones/delete", data=deleting).status_code == 303
    assert list_audiences(home)["audiences"] == []
