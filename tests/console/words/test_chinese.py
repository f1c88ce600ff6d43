"""Chinese pages have no English words, and blanks by one rule: every page, and errors by its address."""

from __future__ import annotations

import re
from html import unescape

import httpx

from console.navigation import PAGES
from console.words.spacing import spaced

NO_CHINESE = {
    "Patron", "CSV", "Excel", "RFM", "AUC", "NDCG", "Brier", "MB", "SQL", "SHA", "PSI", "MLflow", "Evidently",
    "Python", "DuckDB", "SQLite", "English",
}  # fmt: skip
"""Names of products, measures and languages, which Chinese texts have, too."""
OF_THE_SHOP = re.compile(
    r"<(code|bdi|pre|textarea|style)\b[^>]*>.*?</\1>|<option value=\"taste[^>]*>[^<]*|“[^”]*”|\bC\d{6}\b",
    re.DOTALL,
)
"""What is not Patron's text: code, ids, and names that the shop gave."""


HALF_WIDTH_MARK = re.compile("[\u4e00-\u9fff][,;:!?()]")
CHINESE = {"accept-language": "zh"}


def latin_words(html: str) -> list[str]:
    """The words in Latin letters that a Chinese page shows as its own text."""
    text = unescape(re.sub(r"<[^>]*>", " ", OF_THE_SHOP.sub("", html)))
    return [word for word in re.findall("[A-Za-z]{2,}", text) if word not in NO_CHINESE]


def chinese_addresses(client: httpx.Client) -> list[str]:
    """Every page, with the views and the errors that a visitor can reach by its address."""
    listed = client.get("/console/customers?sort=-churn").text
    customer = listed.split('href="/console/customers/')[1].split('"')[0]
    models = ("churn", "clv", "products", "category_propensity", "nobody")
    rules = ("chrn > 1", "churn >", "country", "country = 5", "in audience nobody", "churn > 0.5 and")
    return [
        *(f"/console{page.path}" for page in PAGES if page.in_menu),
        *(f"/console/models/{name}" for name in models),
        *(f"/console/audiences?rule={rule}" for rule in rules),
        *(f"/console/segments?kind={kind}" for kind in ("rfm_segment", "value_tier")),
        "/console/data?checks=all", "/console/features/recency_days", "/console/features/country",
        "/console/models/churn?version=99", "/console/actions/edit", "/console/plan?budget=50",
        "/console/plan?budget=-1", "/console/plan?budget=5&segment=no:x", "/console/plans/nothing",
        "/console/audiences/nobody", "/console/customers?segment=x:y",
        "/console/customers?sort=-nothing", "/console/customers/nobody", "/console/monitoring/x/evidently",
        "/console/export/customers/nothing.csv", "/console/sign-in", f"/console/customers/{customer}",
    ]  # fmt: skip


def badly_spaced(html: str) -> list[str]:
    """The texts of a Chinese page whose blanks do not follow the rule, or that have half-width marks."""
    texts = [unescape(text).strip() for text in re.split(r"<[^>]*>", OF_THE_SHOP.sub("<>", html))]
    return [text for text in texts if spaced(text) != text or HALF_WIDTH_MARK.search(text)]


def test_a_chinese_page_has_no_english_word_and_blanks_by_the_rule(client: httpx.Client) -> None:
    pages = {path: client.get(path, headers=CHINESE).text for path in chinese_addresses(client)}
    assert {path: words for path, page in pages.items() if (words := latin_words(page))} == {}
    assert {path: texts for path, page in pages.items() if (texts := badly_spaced(page))} == {}
