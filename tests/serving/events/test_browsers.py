"""Browser libraries as they are, in headless Chromium, on a page of another origin than the service."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import servers
from core.errors import NothingThere
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access.keys import Keys
from serving.app import create_app
from serving.scores.scorer import Scorer
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
VENDOR = ROOT / "tests" / "vendor"
SEGMENT, STANDALONE, RUDDER = (
    "analytics-next-index.js", "analytics-next-standalone.js", "rudderstack-analytics-js.js",
)  # fmt: skip
NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
# As root, Chromium needs the first; the others keep its own requests from leaving the machine.
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
ORDER = {
    "order_id": "1001", "currency": "EUR",
    "products": [{"product_id": "p12", "category": "tea", "price": 19.99, "quantity": 2}],
}  # fmt: skip
Until = Callable[[Callable[[], bool]], None]


def process() -> FastAPI:
    """What the server process runs."""
    home = Home(Path(os.environ["PATRON_HOME"]))
    scorer = SimpleNamespace(
        home=home,
        identity=Identity(home),
        shop=home.shop(),
        champions=NO_MODELS,
        freshness=FreshnessMonitor(home),
        close=lambda: None,
    )
    origins = ServingSettings().origins
    return create_app(
        cast(Scorer, scorer), ScoreLog(home), keys=Keys(home), keys_needed=True, origins=origins
    )


@dataclass(frozen=True)
class Service:
    """A server process, and a write key."""

    home: Home
    address: str
    key: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def rows(self, table: str = "activities") -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = journal.tail(Database(self.home), 0)[table].to_pylist()
        except NothingThere:
            return []
        return rows

    def seen(self, product: str) -> list[dict[str, Any]]:
        """The activities with a product."""
        return [row for row in self.rows() if row["product_id"] == product]

    def knows(self, customer_id: str) -> bool:
        """Whether an event of a customer arrived."""
        return customer_id in Identity(self.home).keys([customer_id])


@dataclass
class Site:
    """A web server of pages and libraries: another origin than the service."""

    port: int
    settings: dict[str, Any]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that also gives the settings that Segment's snippet asks its CDN for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            library = VENDOR / f"{self.path[1:]}.gz"
            headers = {"content-type": "text/html"}
            content = b"<!doctype html><title>Teas</title>"
            if library.is_file():
                headers = {"content-type": "text/javascript", "content-encoding": "gzip"}
                content = library.read_bytes()
            elif self.path.endswith("/settings"):
                headers, content = {"content-type": "application/json"}, json.dumps(site.settings).encode()
            self.send_response(200)
            for name, value in (headers | {"content-length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer((servers.HOST, 0), Handler) as server:
        site = Site(server.server_port, {})
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def service(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that pages of the site may send events to."""
    folder = tmp_path_factory.mktemp("browsers")
    home = Home(folder / "home")
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock()))
    _, key = Keys(home).create("web", ["events"])
    environment = {
        "PATRON_HOME": str(home.path), "PATRON_CORS_ORIGINS": site.origin,
        "PYTHONPATH": str(Path(__file__).parent),
    }  # fmt: skip
    ours = {"ours": servers.uvicorn("test_browsers:process")}
    with servers.running(ours, environment, folder) as started:
        address = f"{servers.HOST}:{started['ours'].port}"
        service_settings = {"apiKey": key, "apiHost": f"{address}/v1", "protocol": "http"}
        site.settings = {"integrations": {"Segment.io": service_settings}}
        yield Service(home, address, key)


@pytest.fixture(scope="module")
def browser(without: Callable[[str], NoReturn]) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        without("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of the site, in a profile of its own; no request may leave the machine."""
    hosts = set()
    with browser.new_context() as context:
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(site.origin)
        yield page
    assert hosts <= {"127.0.0.1", "localhost"}


def snippet(begin: str, service: Service) -> str:
    """The JavaScript of docs/events.md that begins so, for this service; without its import."""
    blocks = re.findall(r"^```js\n(.*?)^```", (ROOT / "docs" / "events.md").read_text(), re.M | re.S)
    (block,) = [block for block in blocks if block.startswith(begin)]
    code = re.sub(r"^import .*", "", block.replace("https", "http"), flags=re.M)
    return f"const KEY = '{service.key}'; {code.replace('patron.example', service.address)}"


def run(page: Page, code: str) -> None:
    page.evaluate(f"async () => {{ {code} }}")


def track(product: str, key: str = "") -> str:
    """An event as JSON."""
    event = {"type": "track", "anonymousId": "d", "event": "Product Viewed", "messageId": product}
    event |= {"writeKey": key} if key else {}
    return json.dumps(event | {"properties": {"product_id": product}})


REST = """
analytics.page("Teas"); analytics.group("acme", {plan: "gold"}); analytics.alias("C000018", "C000017");
analytics.track("Order Completed", ORDER); analytics.track("Product Viewed", {product_id: TAG});
"""


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("library", [SEGMENT, RUDDER])
def test_the_libraries_as_they_are_send_everything(
    library: str, batches: bool, page: Page, service: Service, until: Until
) -> None:
    tag = f"{library[0]}{int(batches)}"
    page.add_script_tag(url=f"/{library}")
    if library == SEGMENT:
        code = snippet("import {AnalyticsBrowser}", service).replace("p12", f"{tag}-first")
        code = f"const {{AnalyticsBrowser}} = AnalyticsNext; {code}"
        strategy = 'deliveryStrategy: {strategy: "batching", config: {size: 3, timeout: 200}}'
        code = code.replace("apiKey: KEY", f"apiKey: KEY, {strategy}") if batches else code
    else:
        code = snippet("import {RudderAnalytics}", service).replace("p12", f"{tag}-first")
        code = f"const {{RudderAnalytics}} = rudderanalytics; {code}"
        queue = "queueOptions: {batch: {enabled: true, maxItems: 3, flushInterval: 200}}"
        code = code.replace("{getSourceConfig", f"{{{queue}, getSourceConfig") if batches else code
    paths = []
    page.on("request", lambda request: paths.append(urlsplit(request.url).path))
    rest = REST.replace("ORDER", json.dumps(ORDER | {"order_id": tag})).replace("TAG", json.dumps(tag))
    run(page, f"{code.replace('C0000', f'c-{tag}-')}; window.analytics = analytics")
    until(lambda: bool(service.seen(f"{tag}-first")) and service.knows(f"c-{tag}-17"))
    run(page, rest.replace("C0000", f"c-{tag}-"))
    until(lambda: len(service.seen(tag)) == 1)
    until(lambda: any(row["order_id"] == tag for row in service.rows("order_lines")))
    (first,), (last,) = service.seen(f"{tag}-first"), service.seen(tag)
    (line,) = [row for row in service.rows("order_lines") if row["order_id"] == tag]
    assert (str(line["amount"]), line["quantity"], line["category"]) == ("39.9800", 2, "tea")
    assert first["customer_key"] == line["customer_key"]  # the browser before and after it was identified
    assert (first["kind"], first["channel"], first["category"]) == ("viewed", "web", "tea")
    own = [row for row in service.rows("traits") if row["customer_key"] == line["customer_key"]]
    assert {"country": "DE", "group_id": "acme"}.items() <= {row["name"]: row["value"] for row in own}.items()
    assert last["name"] == "Product Viewed"
    batch = {SEGMENT: "/v1/b", RUDDER: "/v1/batch"}[library]
    assert (batch in paths) == batches
    until(lambda: any(row["name"] == "Page Viewed" for row in service.rows()))


def test_segments_snippet_gets_its_settings_from_elsewhere_and_sends(
    page: Page, site: Site, service: Service, until: Until
) -> None:
    """The library that a page loads by its snippet: what was called before it is there is sent as well."""
    settings = {"_writeKey": service.key, "_cdn": site.origin, "_loadOptions": {}, "initialized": False}
    calls = json.dumps([["track", "Product Viewed", {"product_id": "early"}]])
    run(page, f"window.analytics = Object.assign({calls}, {json.dumps(settings)})")
    page.add_script_tag(url=f"/{STANDALONE}")
    until(lambda: len(service.seen("early")) == 1)
    run(page, "analytics.track('Product Viewed', {product_id: 'late'})")
    until(lambda: len(service.seen("late")) == 1)


def test_a_page_needs_no_library(page: Page, service: Service, until: Until) -> None:
    run(page, snippet("const event", service).replace("p12", "beacon"))
    until(lambda: len(service.seen("beacon")) == 1)


def test_beacons_are_sent_as_the_page_ends(page: Page, service: Service, until: Until) -> None:
    """A beacon has no headers of its own, so that its key is in the body or in the query."""
    one, batched = track("end-1", service.key), track("end-2", service.key)
    by_query = {
        "b": f"/b?writeKey={service.key}", "beacon": f"/beacon/v1/batch?writeKey={service.key}",
    }  # fmt: skip
    bodies = {"/v1/t": one, "/v1/b": f'{{"batch": [{batched}]}}'}
    bodies |= {path: f'{{"batch": [{track(name)}]}}' for name, path in by_query.items()}
    run(
        page,
        f"""window.addEventListener("pagehide", () => {{
        for (const [path, body] of Object.entries({json.dumps(bodies)}))
            navigator.sendBeacon("{service.url}" + path, body) }})""",
    )
    page.goto("about:blank")
    until(lambda: all(service.seen(product) for product in ("end-1", "end-2", *by_query)))


def test_pages_of_an_allowed_origin_reach_nothing_but_events(
    page: Page, site: Site, service: Service, until: Until
) -> None:
    _, key = Keys(service.home).create("everything", ["all"])
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def fetched(path: str, body: str | None = None, headers: dict[str, str] = headers) -> Any:
        """The status of a response that the page may read; None if the browser keeps it back."""
        options = {"method": "POST" if body else "GET", "headers": headers} | ({"body": body} if body else {})
        code = f"fetch({json.dumps(service.url + path)}, {json.dumps(options)})"
        return page.evaluate(f"() => {code}.then(r => r.status, () => null)")

    until(lambda: fetched("/v1/track", track("allowed")) == 200)
    assert fetched("/v1/scores", '{"customer_ids": ["d"]}') is None
    for path in ("/v1/models", "/v1/segments", "/v1/customers", "/metrics", "/healthz", "/openapi.json"):
        assert fetched(path) is None
        assert fetched(path, headers={}) is None
    assert fetched("/v1/track", track("keyless"), {"content-type": "text/plain"}) == 401
    page.goto(f"http://localhost:{site.port}")  # the same site by a name that is not allowed
    assert fetched("/v1/track", track("refused")) is None
    assert not service.seen("refused")
    assert not service.seen("keyless")


def test_vendored_files_are_those_that_the_readme_names() -> None:
    readme = (VENDOR / "README.md").read_text()
    rows = re.findall(
        r"^\| `(\S+)` \| \S+ \| [\d.]+ \| `\S+` \| (?:MIT|MPL-2.0), `(\S+)` \| `(\w{64})` \|$", readme, re.M
    )
    assert {name for name, _, _ in rows} == {path.name for path in VENDOR.glob("*.gz")}
    assert {name.removesuffix(".gz") for name, _, _ in rows} == {SEGMENT, STANDALONE, RUDDER, "axe.min.js"}
    for name, licence, digest in rows:
        assert hashlib.sha256(gzip.decompress((VENDOR / name).read_bytes())).hexdigest() == digest, name
        assert re.search("MIT License|Mozilla Public License", (VENDOR / licence).read_text())
