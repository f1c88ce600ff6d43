"""Contracts of all pages: both languages, exports, headers, and content without markup of others."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from benchmarks.harness import servers
from console.navigation import PAGES
from console.page import ConsolePage
from console.words.messages import LANGUAGES, catalogue, locale_of
from core.home import Home

CONSOLE = Path(__file__).parents[2] / "console"
IN_MENU = [page for page in PAGES if page.in_menu]
every_page = pytest.mark.parametrize("page", IN_MENU, ids=lambda page: page.name)
every_language = pytest.mark.parametrize("language", LANGUAGES)
PLACEHOLDER = re.compile(r"{(\w+)}")


class Tags(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def get(client: httpx.Client, path: str, language: str = "en") -> httpx.Response:
    return client.get(path, headers={"accept-language": language}, follow_redirects=True)


def test_the_root_leads_to_the_console(client: httpx.Client) -> None:
    response = client.get("/", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/console")


@every_language
@every_page
def test_a_page_is_whole_in_each_language_and_loads_nothing_from_outside(
    page: ConsolePage, language: str, client: httpx.Client
) -> None:
    response = get(client, f"/console{page.path}", language)
    assert response.status_code == 200
    tags = Tags(response.text).elements
    assert dict(tags)["html"]["lang"] == {"en": "en", "zh": "zh-CN"}[language]
    titles = [attributes for tag, attributes in tags if tag == "h1"]
    assert len(titles) == 1
    assert "{" not in re.sub(r"<meta[^>]*>", "", response.text)  # no placeholder was left
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag, attributes in tags:
        assert "style" not in attributes, (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag != "script" or attributes.get("src")
        for name in ("src", "href", "action"):
            target = attributes.get(name) or "/"
            assert target.startswith(("/console", "#", "?")) or target == "/", target


@every_page
def test_the_tables_of_a_page_are_exported_as_shown(page: ConsolePage, client: httpx.Client) -> None:
    shown = get(client, f"/console{page.path}").text
    for href in {str(a["href"]) for _, a in Tags(shown).elements if "/export/" in str(a.get("href"))}:
        response = get(client, href)
        assert response.status_code == 200, href
        assert "attachment" in response.headers["content-disposition"]
        if href.split("?")[0].endswith(".csv"):
            rows = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
            assert len(rows) > 1
            assert f">{rows[0][0]}<" in shown  # the page's own heading
        else:
            assert response.content.startswith(b"PK")


def test_every_message_is_in_all_languages_with_the_same_values_and_plural_forms() -> None:
    for name, message in catalogue().items():
        assert set(message) == set(LANGUAGES), name
        values = set()
        for language in LANGUAGES:
            forms = message[language]
            if isinstance(forms, str):
                forms = {"other": forms}
            else:
                needed = {locale_of(language).plural_form(n) for n in (0, 1, 2, 5, 1.5)}
                assert set(forms) == needed, name
            values.add(frozenset(PLACEHOLDER.findall("".join(forms.values()))))
        assert len(values) == 1, name


def _beginnings(name: str) -> list[str]:
    """The beginnings to which a template or a page may add a value, such as ``data.column_``."""
    return [name[: i + 1] for i, character in enumerate(name) if character in "._"]


def test_no_message_is_superfluous() -> None:
    source = "".join(path.read_text() for pattern in ("*.py", "*.html") for path in CONSOLE.rglob(pattern))
    by_value = set(re.findall(r"choice\(\s*\"(\w+)\"", source))  # see Translator.choice
    unused = [
        name
        for name in catalogue()
        if name not in source
        and name.split(".")[0] not in by_value
        and not name.endswith((".title", ".lead"))
        and f'"{name.split(".")[0]}." ~' not in source
        and not any(
            f'{beginning}" ~' in source or beginning + "{" in source for beginning in _beginnings(name)
        )
    ]
    assert unused == []


def test_vendored_files_are_as_published() -> None:
    listed = re.findall(
        r"^\| `(\S+)` .* `([0-9a-f]{64})` \|$", (CONSOLE / "static/VENDORED.md").read_text(), re.M
    )
    assert {name for name, _ in listed} == {"htmx.min.js", "pico.css"}
    for name, digest in listed:
        assert hashlib.sha256((CONSOLE / "static" / name).read_bytes()).hexdigest() == digest


def test_preferences_are_kept_and_lead_back_to_the_console_only(address: str) -> None:
    with httpx.Client(base_url=address, follow_redirects=False) as client:
        form = {"back": "/console/customers", "language": "zh", "theme": "dark"}
        response = client.post("/console/preferences", data=form)
        assert (response.status_code, response.headers["location"]) == (303, "/console/customers")
        page = client.get("/console/customers").text
        assert 'lang="zh-CN" data-theme="dark"' in page
        client.post("/console/preferences", data={"language": "<script>", "theme": "none"})
        assert 'lang="zh-CN" data-theme="dark"' in client.get("/console").text  # nonsense changes nothing
        for back in ("https://elsewhere.example", "//elsewhere.example", "/console\\@elsewhere.example", "/"):
            response = client.post("/console/preferences", data={"back": back})
            assert response.headers["location"] == "/console"


def test_the_overview_compares_the_last_seven_days_with_the_seven_before(client: httpx.Client) -> None:
    sheet = client.get("/console/export/weeks.csv").text.lstrip("\ufeff")
    heading, latest, before = csv.reader(io.StringIO(sheet))
    assert latest[0] != before[0]
    sentences = get(client, "/console").text
    for name, now, then in zip(heading[1:4], latest[1:4], before[1:4], strict=True):
        change = "the same as" if float(now) == float(then) else "up" if float(now) > float(then) else "down"
        assert re.search(f"{name}: [^<]+, {change}", sentences), name


def test_a_customer_is_shown_with_scores_and_reasons_and_nobody_is_said_to_be_nobody(
    client: httpx.Client, console_home: Home
) -> None:
    listed = get(client, "/console/customers?sort=-revenue_at_risk").text
    first = next(
        a["href"] for _, a in Tags(listed).elements if str(a.get("href")).startswith("/console/customers/")
    )
    page = get(client, str(first)).text
    assert page.count('class="card"') >= 3
    for path in ("/console/customers/<b>nobody<%2Fb>", "/console/<b>nobody<%2Fb>"):
        response = get(client, path)
        assert (response.status_code, "<h1>" in response.text) == (404, True)
    assert "<b>nobody" not in response.text
    search = get(client, "/console/customers?q=<script>alert(1)</script>")
    assert search.status_code == 200
    assert "<script>alert" not in search.text


def test_the_console_alone_has_its_pages_and_no_api(console_home: Home, tmp_path: Path) -> None:
    environment = {"PATRON_HOME": str(console_home.path), "PYTHONPATH": str(Path(__file__).parent)}
    service = {"alone": replace(servers.uvicorn("conftest:process_alone"), ready="/healthz")}
    with (
        servers.running(service, environment, tmp_path) as started,
        httpx.Client(base_url=f"http://{servers.HOST}:{started['alone'].port}") as alone,
    ):
        assert alone.get("/", follow_redirects=False).headers["location"] == "/console"
        for path in ("/console", "/console/static/console.css", "/healthz"):
            assert alone.get(path).status_code == 200, path
        for path in ("/v1/segments", "/docs", "/openapi.json", "/metrics", "/consoles"):
            assert alone.get(path).status_code == 404, path


def test_style_sheets_have_rules_and_comments_only() -> None:
    for name in ("console.css", "tokens.css"):
        sheet = re.sub(r"/\*.*?\*/", "", (CONSOLE / "static" / name).read_text(), flags=re.S)
        assert sheet.count("{") == sheet.count("}"), name
        assert not re.search(r"^(<{7}|={7}|>{7})", sheet, re.M), name  # marks of a merge end the next rule


@every_language
def test_an_address_with_a_value_out_of_bounds_says_so(language: str, client: httpx.Client) -> None:
    segments = "&".join(["segment=value_tier:A"] * 60)
    for query in (f"sort={'x' * 900}", segments, f"cursor={'x' * 2000}", "q=%00", f"segment={'x' * 900}"):
        response = get(client, f"/console/customers?{query}", language)
        assert response.status_code in (200, 404, 422), query
        assert 'class="notice warning"' in response.text, query
    assert get(client, f"/console/access?before={'9' * 40}", language).status_code == 200
