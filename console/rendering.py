"""Pages as HTML, by Jinja's templates; nothing in them comes from outside or runs inline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from console.words.messages import LANGUAGES, Language, Translator
from core.home import Home

LANGUAGE_COOKIE, THEME_COOKIE = "patron_language", "patron_theme"
THEMES = ("auto", "light", "dark")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}


@cache
def environment() -> Environment:
    """The environment of all templates; every value is escaped."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def words_of(request: Request, home: Home) -> Translator:
    """The words of a request: of its cookie, else the first language of the browser that there is."""
    shop = home.shop()
    return Translator(_language(request), shop.time_zone, shop.currency)


def theme_of(request: Request) -> str:
    """The theme of a request's cookie; ``auto`` follows the browser."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else "auto"


def render(
    request: Request, template: str, words: Translator, values: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """A template as a response. A request of htmx gets the same page, of which it takes its part."""
    path = request.url.path
    common = {
        "t": words, "path": path, "theme": theme_of(request), "query": request.query_params,
        "here": f"{path}?{request.url.query}" if request.url.query else path,
    }  # fmt: skip
    html = environment().get_template(template).render(common | dict(values))
    return HTMLResponse(html, status, _HEADERS)


def _language(request: Request) -> Language:
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    accepted = request.headers.get("accept-language", "")
    for text in (chosen, *(part.split(";")[0].strip().lower() for part in accepted.split(","))):
        for language in LANGUAGES:
            if text and text.split("-")[0] == language:
                return language
    return "en"
