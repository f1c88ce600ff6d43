"""Pages as HTML, by Jinja's templates; nothing in them comes from outside or runs inline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request

from console.page import Kind
from console.words.messages import LANGUAGES, NONE, Language, Translator
from console.words.sentences import sentence
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
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"prose": prose, "cell": cell}
    return made


def prose(text: str, words: Translator) -> Markup:
    """A text of Patron in the user's language; what stands between backticks is shown as code."""
    parts = sentence(words, text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def cell(text: str, kind: Kind, words: Translator) -> Markup:
    """The text of a table's cell: data of the shop keep their own direction."""
    if text == NONE:
        return escape(text)
    if kind in ("prose", "code", "data"):
        wrapped = {"prose": "{}", "code": "<code>{}</code>", "data": "<bdi>{}</bdi>"}[kind]
        return Markup(wrapped).format(prose(text, words) if kind == "prose" else text)
    return escape(text)


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
        "here": f"{path}?{request.url.query}" if request.url.query else path, "notices": (),
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
