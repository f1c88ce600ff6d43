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

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright

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


@pytest.fixture(scope="session")
def address(console_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of the console, without its path."""
    folder = tmp_path_factory.mktemp("console")
    environment = {"PATRON_HOME": str(console_home.path), "PYTHONPATH": str(Path(__file__).parent)}
    ours = {"console": servers.uvicorn("conftest:process")}
    with servers.running(ours, environment, folder) as started:
        yield f"http://{servers.HOST}:{started['console'].port}"


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def console_over() -> Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]:
    """A function (home) that opens a context: requests to the console over that home, in this process."""

    @contextmanager
    def opened(home: Home) -> Iterator[Callable[..., httpx.Response]]:
        app = open_app(home, ServingSettings())
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

        async def ask(path: str, **given: Any) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(given.pop("method", "GET"), path, **given)

        async def shut_down() -> None:
            async with app.router.lifespan_context(app):
                pass

        try:
            yield lambda path, **given: asyncio.run(ask(path, **given))
        finally:
            asyncio.run(shut_down())

    return opened


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


@dataclass
class Local:
    """A browser without a window: requests with cookies to an application in this process."""

    app: FastAPI
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str) -> httpx.Response:
        return self._send("GET", path)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._send("POST", path, **request)

    def form_token(self) -> str:
        """What forms of the pages contain, see :func:`console.changes`."""
        return self.get("/console/audiences").text.split('name="form_token" value="')[1].split('"')[0]

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", cookies=self.cookies
            ) as client:
                response = await client.request(method, path, **request)
                self.cookies = client.cookies
                return response

        return asyncio.run(send())


@pytest.fixture
def open_local() -> Callable[[Home], Local]:
    """A function (home) that opens the console over a home, in this process."""
    return lambda home: Local(open_app(home, ServingSettings()))
