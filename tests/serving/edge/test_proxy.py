"""The documented reverse proxy, run by a real nginx, in front of the service; and the service without it."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import uvicorn
from fastapi import Request

from benchmarks.harness import servers
from core.home import Home
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.scores.scorer import open_scorer
from serving.server import serving_config
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
NAME = "patron.shop.example"


@contextmanager
def serving(home: Home, **settings: Any) -> Iterator[int]:
    """The service in a thread, with a route that returns its caller's address; yields the port."""
    given = ServingSettings(port=servers.free_port(), **settings)
    with ScoreLog(home) as log:
        app = create_app(
            open_scorer(home, log), log, keys=Keys(home), keys_needed=given.keys_needed, hosts=given.hosts
        )

        async def caller(request: Request) -> dict[str, Any]:
            assert request.client is not None
            return {"address": request.client.host, "scheme": request.url.scheme}

        app.add_api_route("/caller", caller)
        app.router.routes.insert(0, app.router.routes.pop())
        server = uvicorn.Server(serving_config(app, given))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield given.port
        finally:
            server.should_exit = True
            thread.join(60)


def configuration(folder: Path, service: int, plain: int, tls: int) -> str:
    """The documented file, with ports and a certificate of the test, within a minimal configuration."""
    text = (ROOT / "deploy" / "nginx" / "patron.conf").read_text()
    changes = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{service};",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{tls} ssl http2;",
        "/etc/ssl/patron/": f"{folder}/",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    files = f"pid {folder}/pid; error_log {folder}/errors;"
    return f"{files} events {{}} http {{ access_log off; {paths}\n{text}\n}}"


@pytest.fixture(scope="module")
def proxied(
    served: Home, tmp_path_factory: pytest.TempPathFactory, without: Callable[[str], NoReturn]
) -> Iterator[tuple[httpx.Client, str, int]]:
    """A client of the proxy over TLS, a key, and the port without TLS."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        without("nginx")
    folder, plain, tls = tmp_path_factory.mktemp("nginx"), servers.free_port(), servers.free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    _, secret = Keys(served).create("proxied", ["all"])
    with serving(served, require_keys=True, allowed_hosts=NAME) as port:
        (folder / "nginx.conf").write_text(configuration(folder, port, plain, tls))
        command = [
            nginx,
            "-c",
            str(folder / "nginx.conf"),
            "-p",
            str(folder),
            "-g",
            "daemon off; master_process off;",
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
            try:
                with httpx.Client(
                    base_url=f"https://127.0.0.1:{tls}", verify=context, timeout=30,
                    headers={"host": NAME},
                ) as client:  # fmt: skip
                    servers.wait_until(
                        lambda: request(client, "/healthz").status_code == 200, 30, httpx.TransportError
                    )
                    yield client, secret, plain
            finally:
                process.terminate()


def request(client: httpx.Client, path: str, method: str = "GET", **given: Any) -> httpx.Response:
    return client.request(method, path, extensions={"sni_hostname": NAME}, **given)


def test_the_proxy_passes_requests_on_over_tls(proxied: tuple[httpx.Client, str, int]) -> None:
    client, secret, plain = proxied
    key = {"authorization": f"Bearer {secret}"}
    body = {"customer_ids": ["nobody"]}
    assert request(client, "/v1/scores", "POST", json=body, headers=key).status_code == 200
    refused = request(client, "/v1/scores", "POST", json=body)
    assert refused.status_code == 401  # although the proxy is on this machine
    assert refused.headers["strict-transport-security"]
    assert refused.headers["cache-control"] == "no-store"
    assert request(client, "/metrics", headers=key).status_code == 404
    redirected = httpx.get(f"http://127.0.0.1:{plain}/v1/models?a=b", headers={"host": NAME})
    assert redirected.status_code == 308
    assert redirected.headers["location"] == f"https://{NAME}/v1/models?a=b"


def test_the_address_is_the_clients_and_not_what_it_claims(proxied: tuple[httpx.Client, str, int]) -> None:
    client, _, _ = proxied
    claims = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "http"}
    assert request(client, "/caller", headers=claims).json() == {"address": "127.0.0.1", "scheme": "https"}


def test_limits_hold_at_the_proxy(proxied: tuple[httpx.Client, str, int]) -> None:
    client, secret, _ = proxied
    key = {"authorization": f"Bearer {secret}"}
    assert request(client, "/v1/scores", "POST", content=b" " * (2**20 + 1), headers=key).status_code == 413
    assert request(client, "/healthz", headers={"x-large": "a" * 40_000}).status_code in (400, 431)
    assert request(client, "/healthz", headers={"host": "evil.example"}).status_code == 421


def test_without_a_trusted_proxy_nobodys_claims_are_believed(served: Home) -> None:
    claims = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"}
    with serving(served, trusted_proxies="192.0.2.1") as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/caller", headers=claims, timeout=30)
        assert answer.json() == {"address": "127.0.0.1", "scheme": "http"}


def test_the_documentation_names_the_file_and_its_settings() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    assert "deploy/nginx/patron.conf" in text
    for setting in re.findall(r"PATRON_[A-Z_]+", (ROOT / "deploy" / "nginx" / "patron.conf").read_text()):
        assert setting in text, setting
