"""A console over the trained shop, as a real server, and a browser."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from benchmarks.harness import servers
from console.app import open_alone, open_app
from core.home import Home
from records.accounts.accounts import Accounts
from records.accounts.roles import Role
from serving.settings import ServingSettings

CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip


def process() -> FastAPI:
    """What the server process runs."""
    return open_app(Home(Path(os.environ["PATRON_HOME"])), ServingSettings())


def process_alone() -> FastAPI:
    """What the process of the console without the API runs."""
    return open_alone(Home(Path(os.environ["PATRON_HOME"])), ServingSettings())


def request_in_process(
    app: FastAPI, path: str, cookies: httpx.Cookies, method: str = "GET", **request: Any
) -> httpx.Response:
    """The response of an application in this process; ``cookies`` gets those that it sets."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.cookies = cookies
            response = await client.request(method, path, **request)
            cookies.jar = client.cookies.jar
            return response

    return asyncio.run(send())


@pytest.fixture(scope="session")
def serve(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Home], AbstractContextManager[str]]:
    """A function (home) that opens a context: a server of the console over the home; its URL."""

    @contextmanager
    def serving(home: Home) -> Iterator[str]:
        environment = {"PATRON_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).parent)}
        ours = {"console": servers.uvicorn("conftest:process")}
        with servers.running(ours, environment, tmp_path_factory.mktemp("console")) as started:
            yield f"http://{servers.HOST}:{started['console'].port}"

    return serving


@pytest.fixture(scope="session")
def address(console_home: Home, serve: Callable[[Home], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a server of the console, without its path."""
    with serve(console_home) as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


IMPORTED_ROWS = [
    "ann,2024-03-01,1,10.50",
    "ben,2024-03-02,2,20",
    "ann,2024-04-02,3,30",
    "ann,2024-04-02,3,30",  # a duplicate
    ",2024-04-03,4,5",  # no customer
    "cid,yesterday,5,5",  # unreadable
]


@pytest.fixture
def imported_home(sales_mapping: str, tmp_path: Path) -> Home:
    """A shop of a file with three rejected rows, not built yet."""
    from events.files import imports

    (tmp_path / "orders.csv").write_text("\n".join(["who,day,no,paid", *IMPORTED_ROWS]) + "\n")
    (tmp_path / "own.toml").write_text(sales_mapping.replace('product = "sku"\n', ""))
    home = Home(tmp_path / "home")
    imports.import_file(home, str(tmp_path / "orders.csv"), str(tmp_path / "own.toml"), allow_rejects=True)
    return home


@pytest.fixture(scope="session")
def console_over() -> Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]:
    """A function (home) that opens a context: requests to the console over that home, in this process."""

    @contextmanager
    def over(home: Home) -> Iterator[Callable[..., httpx.Response]]:
        app = open_app(home, ServingSettings())

        async def shut_down() -> None:
            async with app.router.lifespan_context(app):
                pass

        try:
            yield lambda path, **request: request_in_process(app, path, httpx.Cookies(), **request)
        finally:
            asyncio.run(shut_down())

    return over


@pytest.fixture(scope="session")
def signed_in() -> Callable[..., Callable[..., httpx.Response]]:
    """A function (ask, home) that signs an administrator in, and returns a function that sends forms."""

    def sign_in(ask: Callable[..., httpx.Response], home: Home) -> Callable[..., httpx.Response]:
        account = {"name": "ada", "password": "correct horse battery"}
        Accounts(home).create(account["name"], Role.ADMIN, account["password"])
        cookies = ask("/console/sign-in", method="POST", data=account).cookies
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        page = ask("/console", headers=headers).text
        token = page.split('name="form_token" value="')[1].split('"')[0]

        def send(path: str, **form: str) -> httpx.Response:
            if not form:
                return ask(path, headers=headers)
            return ask(path, method="POST", headers=headers, data=form | {"form_token": token})

        return send

    return sign_in


@pytest.fixture(scope="module")  # while it is open, its event loop runs in this thread
def browser(without: Callable[[str], NoReturn]) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        without("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """A function (address, look) that opens a context: a page of a browser in a profile of its own.

    The context fails on an error message of the browser, and on a request to elsewhere.
    """

    @contextmanager
    def profile(address: str, **look: Any) -> Iterator[Page]:
        problems: list[str] = []
        # Axe is added to the page by the test, which the page's own policy would refuse.
        with browser.new_context(base_url=address, bypass_csp=True, **look) as context:
            page = context.new_page()
            page.on("console", lambda m: problems.append(f"{m.type}: {m.text}") if is_error(m) else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda r: None if hostname(r.url) == "127.0.0.1" else problems.append(r.url))
            yield page
        assert problems == []

    return profile


def is_error(message: ConsoleMessage) -> bool:
    """Whether the browser reports an error; the status of a page that refuses a change is none."""
    return message.type == "error" and "the server responded with a status of 4" not in message.text


def hostname(url: str) -> str | None:
    return urlsplit(url).hostname


@dataclass
class Local:
    """A browser without a window: requests with cookies to an application in this process."""

    app: FastAPI
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str, **request: Any) -> httpx.Response:
        return request_in_process(self.app, path, self.cookies, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return request_in_process(self.app, path, self.cookies, method="POST", **request)

    def form_token(self) -> str:
        """What forms of the pages contain, see :func:`console.changes`."""
        return self.get("/console/audiences").text.split('name="form_token" value="')[1].split('"')[0]


@pytest.fixture
def open_local() -> Callable[[Home], Local]:
    """A function (home) that opens the console over a home, in this process."""
    return lambda home: Local(open_app(home, ServingSettings()))
