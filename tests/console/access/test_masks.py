"""What roles see of personal data: every page, table and file over a shop whose ids and traits are marked."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urljoin

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from console import navigation
from console.access.visitor import COOKIE
from console.app import open_app
from console.personal.masks import HIDDEN, MIN_ID, mask_id, mask_text, mask_trait, mask_written
from console.personal.portraits import mask_portrait
from core.declarations.own_features import SqlFeature
from core.home import Home
from core.storage.database import Database
from decisions.catalogue import saved_audiences
from events import lake
from events.identity.tables import customers, ids
from events.lake.versions import bucket_file
from features.groups import FEATURES
from features.groups.own_sql import own_group
from records.accounts.accounts import Accounts
from records.accounts.roles import PersonalData, Role
from records.accounts.sessions import Sessions
from records.audit.log import AuditLog
from serving.customers.schemas import Portrait
from serving.scores.schemas import ExplainedScore, Reason
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
MARK = "xyzzy"
"""In every id and trait of the shop, and in whatever else may name a person."""
MASKED = [role for role in Role if role.personal_data is PersonalData.MASKED]
IN_FULL = [role for role in Role if role.personal_data is PersonalData.IN_FULL]
KEY = 1
TRAITS = {
    "name": f"Ann {MARK}", "email": f"{MARK}@{MARK}.example", "phone": f"+49 160 {MARK} 1234567",
    "address.city": f"{MARK}ville", "notes": f"likes {MARK}", "nickname": MARK, "country": f"{MARK} 12",
}  # fmt: skip
ACTIVITIES = {
    "Email Opened": "opened",
    "Page Viewed": "page",
    f"Looked at /reset?mail={MARK}": None,
    "Survey Answered": "survey_answered",
}
VALUES: dict[str, dict[str, str]] = {
    "customer": {"customer_key": str(KEY)},
    "audience": {"name": "valuable"},
    "feature": {"name": "own_nickname"},
    "model_versions": {"name": "churn"},
    "stored_plan": {"plan_id": "1"},
    "/audiences/{name}/customers.{kind}": {"name": "valuable", "kind": "csv"},
    "/plans/{plan_id}/customers.{kind}": {"plan_id": "1", "kind": "csv"},
    "/monitoring/{model}/evidently": {"model": "churn"},
}
"""The values of the path's parameters, by the name of a page or the path of a file."""
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def home(
    console_home: Home, tmp_path_factory: pytest.TempPathFactory, copy_into: Callable[[Home, Path], Home]
) -> Home:
    """The shop with marked ids, traits, activities and rejected rows, and an own feature of a trait."""
    from features.offline.build import build

    home = copy_into(console_home, tmp_path_factory.mktemp("masks") / "home")
    (home.path / "features.toml").write_text(
        '[features.nickname]\nfrom = "traits"\nmeaning = "The nickname."\nunit = "text"\n'
        "select = \"max(value) FILTER (WHERE name = 'nickname')\"\n"
    )
    with Database(home).writing() as connection:
        for table in (customers, ids):
            marked = (
                sa.literal(f"C-{MARK}-").concat(sa.cast(table.c.customer_key, sa.Text)).concat(f"-{MARK}!!")
            )
            connection.execute(sa.update(table).values(customer_id=marked))
    at = dict.fromkeys(("timestamp", "received_at"), datetime.fromisoformat("2024-06-20T12:00:00"))
    add(home, "traits", [at | {"name": name, "value": value} for name, value in TRAITS.items()])
    about = {
        "reference": MARK,
        "properties": f'{{"url": "https://{MARK}.example", "subject": "Dear {MARK}"}}',
    }
    add(home, "activities", [at | {"name": n, "kind": k} | about for n, k in ACTIVITIES.items()])
    build(home, monthly=False)
    saved_audiences.put(home, "named", {"rule": f"own_nickname = '{MARK}'", "text": {}}, None)
    write_rejected(home)
    return home


def add(home: Home, table: str, rows: list[dict[str, object]]) -> None:
    """Add events of the customer to the lake; other columns are those of its first row."""
    path = bucket_file(lake.current(home).folder, table, KEY)
    stored = pq.read_table(path)
    first = stored.slice(0, 1).to_pylist()[0] | {"customer_key": KEY}
    more = pa.Table.from_pylist([first | row for row in rows], stored.schema)
    pq.write_table(pa.concat_tables([stored, more]), path)


def write_rejected(home: Home) -> None:
    """Write rejected rows and the warning of an import that took a column of names for one of amounts."""
    path = home.events / "import.json"
    warning = (
        f"9.0% of the rows are rejected (1 unreadable); `patron import --report` lists them\n  row 1: {MARK}"
    )
    record = {
        "imported_at": "2024-06-30T12:00:00+00:00", "read": 1, "kept": {}, "set_aside": {"unreadable": 1},
        "warnings": [{"code": "rows_rejected", "count": 1, "text": warning}],
    }  # fmt: skip
    path.write_text(json.dumps(json.loads(path.read_text()) | record))
    duckdb.sql(
        f"COPY (SELECT 1::BIGINT AS row_number, 'unreadable' AS reason, 'A-{MARK}' AS order_id,"
        f" '{MARK}' AS product_id, 'paid: Ann {MARK}' AS text)"
        f" TO '{lake.current(home).folder / 'set_aside.parquet'}'"
    )


@pytest.fixture(scope="module")
def ask(home: Home) -> Iterator[Ask]:
    """A function (role, address, language="en") that sends a request with a session of the role."""
    sessions = Sessions(home)
    tokens = {
        role: sessions.open(Accounts(home).create(role.value, role, "correct horse battery").number)
        for role in Role
    }
    app = open_app(home, ServingSettings())

    async def get(role: Role, address: str, language: str = "en") -> httpx.Response:
        transport = httpx.ASGITransport(app)
        headers = {"cookie": f"{COOKIE}={tokens[role]}", "accept-language": language}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            return await client.get(address)

    async def shut_down() -> None:
        async with app.router.lifespan_context(app):
            pass

    with asyncio.Runner() as runner:
        yield lambda *request: runner.run(get(*request))
        runner.run(shut_down())


def addresses() -> list[str]:
    """Every page and file; the parameters of a new one must be added to ``VALUES``."""
    paths = [(page.path, page.name) for page in navigation.PAGES]
    paths += [(file.path, file.path) for file in navigation.FILES]
    return [f"/console{path.format(**VALUES[name]) if '{' in path else path}" for path, name in paths]


def leads_to(address: str, response: httpx.Response) -> list[str]:
    """The exports and the next pages to which a page leads."""
    links = re.findall(r'<a\b[^>]*\bhref="([^"]+)"', response.text)
    more = [urljoin(address, link.replace("&amp;", "&")) for link in links]
    return [
        link for link in more if "/export/" in link or "cursor=" in link or link.endswith((".csv", ".xlsx"))
    ]


def shown(response: httpx.Response) -> str:
    """All that a response shows: the body, also within a workbook, the headers, and cursors of links."""
    text = response.text
    if response.content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(response.content)) as workbook:
            text = "".join(workbook.read(name).decode("utf-8", "replace") for name in workbook.namelist())
    for cursor in re.findall(r"cursor=([\w-]+)", text):
        text += base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("utf-8", "replace")
    return text + str(response.headers)


@pytest.mark.parametrize("role", MASKED)
def test_no_page_table_or_file_shows_a_marked_id_or_trait_to_a_role_that_sees_them_masked(
    role: Role, ask: Ask
) -> None:
    language = {Role.SCIENTIST: "en", Role.OPERATOR: "zh"}[role]
    begun = [*addresses(), "/console/customers?sort=-clv", "/console/data?checks=all"]
    pending, visited = begun.copy(), set()
    while pending:
        address = pending.pop()
        if address in visited or ("cursor=" in address and sum("cursor=" in a for a in visited) > 2):
            continue
        visited.add(address)
        response = ask(role, address, language)
        assert response.status_code < 500, (address, response.text)
        assert MARK not in shown(response), address
        pending += leads_to(address, response)
    assert len([address for address in visited if "/export/" in address]) > 20


def test_the_same_pages_show_them_to_roles_that_see_them_in_full(ask: Ask) -> None:
    places = {
        f"/console/customers/{KEY}": 8,
        "/console/customers": 10,
        "/console/audiences/valuable": 10,
        "/console/audiences/valuable/customers.csv": 10,
    }
    for role in IN_FULL:
        for address, times in places.items():
            assert ask(role, address).text.count(MARK) >= times, (role, address)
    assert ask(Role.ADMIN, "/console/data").text.count(MARK) == 4


@pytest.mark.parametrize("role", MASKED)
def test_a_search_for_an_id_does_not_say_whether_it_exists(role: Role, ask: Ask, home: Home) -> None:
    answers = set()
    for text in (f"C-{MARK}-{KEY}-{MARK}!!", f"C-{MARK}-999999-{MARK}!!"):
        page = ask(role, f"/console/customers?q={text}").text
        answers.add(page.replace(text, ""))
    assert len(answers) == 1
    (answer,) = answers
    assert "by their number" in answer
    page = ask(role, f"/console/customers?q={KEY}").text
    assert f'href="/console/customers/{KEY}"' in page
    assert f"{KEY} · C-…!!" in page
    facts = ask(role, f"/console/export/customers/{KEY}/facts.csv").text
    assert '"The nickname","…","own_nickname"' in facts
    assert AuditLog(home).newest(1)[0].about == f"customer/facts.csv {KEY}"
    assert "No customer has the number 999999" in ask(role, "/console/customers?q=999999").text


def test_hidden_values_do_not_choose_customers(ask: Ask) -> None:
    refused = "does not see the values of <code>own_nickname</code>"
    for role in MASKED:
        assert refused in ask(role, f"/console/customers?segment=own_nickname:{MARK}").text
    for role in (*MASKED, Role.VIEWER):
        assert refused in ask(role, f"/console/audiences?rule=own_nickname = {MARK}").text
        assert refused not in ask(role, "/console/audiences?rule=orders_total > 3").text
        assert "/audiences/named" not in ask(role, "/console/audiences").text
    for role in MASKED:
        assert ask(role, "/console/audiences/named").status_code == 404
    for role in IN_FULL:
        assert refused not in ask(role, f"/console/audiences?rule=own_nickname = {MARK}").text
        assert ask(role, "/console/audiences/named").text.count(MARK) > 1


def test_files_with_whole_ids_are_refused_and_looks_are_recorded(ask: Ask, home: Home) -> None:
    for role in MASKED:
        for kind in ("csv", "xlsx"):
            response = ask(role, f"/console/audiences/valuable/customers.{kind}")
            assert (response.status_code, "whole ids" in response.text) == (403, True)
        ask(role, f"/console/customers/{KEY}")
    ask(Role.MARKETER, "/console/audiences/valuable/customers.csv")
    ask(Role.MARKETER, "/console/customers")
    newest = [(entry.by, entry.what, entry.about) for entry in AuditLog(home).newest(4)]
    assert newest == [
        ("marketer", "listed customers", ""),
        ("marketer", "listed customers", "valuable csv"),
        *((role.value, "looked at a customer", str(KEY)) for role in reversed(MASKED)),
    ]


def test_reasons_by_hidden_values_keep_their_effect_and_their_place_in_the_sum() -> None:
    declared = SqlFeature("own_nickname", "traits", "max(value)", "The nickname.", "text")
    known = FEATURES | own_group([declared]).features
    reasons = [
        Reason(feature=name, value=value, contribution=0.1, raw_contribution=1.0, words=words)
        for name, value, words in (
            ("orders_90d", 3, "3 orders placed in the last 90 days: +10 points"),
            ("own_nickname", MARK, f"The nickname ({MARK}): +10 points"),
            ("own_removed_since", MARK, f"The street ({MARK}): −5 points"),
        )
    ]
    lines = ["Before anything is known of the customer: 20.0%", *(reason.words for reason in reasons)]
    score = ExplainedScore(score=0.35, reasons=reasons, summary=[*lines, "Together: 35.0%"])
    empty = dict.fromkeys(Portrait.model_fields)
    portrait = Portrait.model_construct(**empty | {"customer_id": MARK, "scores": {"churn": score}})
    masked = mask_portrait(portrait, KEY, "en", known)
    assert masked.scores["churn"].summary == [
        *lines[:2], "The nickname (…): +10 points", "Own_removed_since (…): −5 points", "Together: 35.0%",
    ]  # fmt: skip
    assert (masked.customer_id, "Customer 1 is known" in masked.portrait) == ("1", True)
    assert MARK not in str(masked)


def test_pages_reach_customers_through_the_module_that_masks_them() -> None:
    for path in (ROOT / "console" / "pages").rglob("*.py"):
        assert re.findall(r"\.identity\b|\.score\(\[", path.read_text(encoding="utf-8")) == [], path


def test_roles_without_customers_lack_the_scope_and_masked_ones_decide_nothing() -> None:
    for role in Role:
        has_customers = bool(role.scopes & {"customers", "all"})
        assert has_customers == (role.personal_data is not PersonalData.NONE), role
    for role in MASKED:
        assert not role.scopes & {"decisions", "actions", "outcomes", "all"}, role


# Masks


@pytest.mark.parametrize(
    ("customer_id", "shown"),
    [
        ("", "…"),
        ("1234567", "…"),
        ("12345678", "1…8"),
        ("ann@shop.example", "an…le"),
        ("客户编号一二三四", "客…四"),
    ],
)
def test_the_ends_of_an_id_are_shown_and_at_least_six_characters_are_not(
    customer_id: str, shown: str
) -> None:
    assert mask_id(customer_id) == shown
    assert len(customer_id) < MIN_ID or len(customer_id) - len(shown) + 1 >= 6


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("email", "ann@shop.example", "a…@…"),
        ("email", "@", "…"),
        ("phone", "+49 160 1234567", "…67"),
        ("phone", "12", "…"),
        ("birthday", "1980-03-02", "…"),
        ("name", "Ann Example", "…"),
        ("address.street", "Mill Lane 7", "…"),
        ("country", "United Kingdom", "United Kingdom"),
        ("country", "Mill Lane 7", "…"),
    ],
)
def test_a_trait_is_shown_in_part_or_not_by_its_kind(name: str, value: str, shown: str) -> None:
    assert mask_trait(name, value) == shown


def test_texts_are_shown_if_they_are_words_and_written_cells_by_their_form() -> None:
    for text in ("Product Viewed", "product_viewed", "paid-search", "商品浏览"):
        assert mask_text(text) == text
    for text in ("mail ann@shop.example", "/reset?t=1", "Call 0160", "a " * 30, ""):
        assert mask_text(text) == HIDDEN
    assert mask_written("paid: 12,50 Anné 张") == "xxxx: 99,99 xxxx x"
