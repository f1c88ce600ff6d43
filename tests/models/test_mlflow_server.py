"""MLflow as the documentation starts it: small, without passwords in sight, and asked once a second."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.harness import servers
from benchmarks.harness.postgres import PostgresServer
from core.home import Home
from events.lake import shops
from serving.scores.champion_watch import POLL_S

ROOT = Path(__file__).parents[2]
MAX_MEGABYTES = 1000
CLIENTS = 8  # at a time, so that both workers get requests


def documented() -> tuple[dict[str, str], list[str]]:
    """The environment and the command of the documentation."""
    text = (ROOT / "docs" / "operating.md").read_text()
    (block,) = (block for block in re.findall(r"```sh\n(.*?)```", text, re.S) if "mlflow server" in block)
    exports = " ".join(re.findall(r"^export (.*)$", block, re.M)).split()
    (command,) = re.findall(r"^mlflow server .*$", block, re.M)
    return dict(setting.split("=", 1) for setting in exports), command.split()


@contextmanager
def mlflow_server(postgres: PostgresServer, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The documented server, over a database and a folder of the test's own; yields its process and port."""
    settings, command = documented()
    port = servers.free_port()
    with postgres.database() as address:
        store = address.replace("postgresql://", "postgresql+psycopg://")
        assert settings["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg://")
        command[command.index("--artifacts-destination") + 1] = str(folder / "artifacts")
        program = str(Path(sys.executable).with_name("mlflow"))
        with open(folder / "mlflow.log", "wb") as log:
            process = subprocess.Popen(
                [program, *command[1:], "--port", str(port)], cwd=folder, stdout=log, stderr=log,
                env=os.environ | settings | {"MLFLOW_BACKEND_STORE_URI": store}, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for_200(f"http://127.0.0.1:{port}/health")
            yield process, port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def wait_for_200(url: str) -> None:
    servers.wait_until(lambda: httpx.get(url).status_code == 200, ignored=httpx.TransportError)


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [pid, *(process for child in children for process in descendants(child))]


def megabytes(pid: int) -> float:
    """The memory of a process; what several share counts in parts (PSS)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return float(re.findall(r"^Pss:\s+(\d+) kB", text, re.M)[0]) / 1024


class CountingProxy(ThreadingHTTPServer):
    """Passes requests on to MLflow, and records their paths."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.requests: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.requests.append(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                    connection.request(self.command, self.path, body, headers)
                    response = connection.getresponse()
                    content = response.read()
                self.send_response(response.status)
                self.send_header("content-type", response.headers["content-type"])
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        Handler.do_POST = Handler.do_GET  # type: ignore[attr-defined]
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads memory from /proc")
def test_the_documented_server_is_small_hides_its_password_and_is_asked_once_a_second(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    home, port = Home(tmp_path / "home"), servers.free_port()
    shops.begin_live(home, "UTC", "EUR")
    with mlflow_server(postgres, tmp_path) as (mlflow, mlflow_port), CountingProxy(mlflow_port) as proxy:
        environment = os.environ | {
            "PATRON_HOME": str(home.path),
            "PATRON_MLFLOW_URI": f"http://127.0.0.1:{proxy.server_address[1]}",
            "PATRON_REFRESHER": "off",
        }
        command = [sys.executable, "-m", "patron", "serve", "--workers", "2", "--port", str(port)]
        with (
            ThreadPoolExecutor(CLIENTS) as clients,
            subprocess.Popen(command, cwd=ROOT, env=environment) as service,
        ):
            try:
                wait_for_200(f"http://127.0.0.1:{port}/healthz")
                models = f"http://127.0.0.1:{port}/v1/models"

                def have_both_read() -> bool:
                    """Whether both work, and a second of requests leads to polls of MLflow only."""
                    count = len(proxy.requests)
                    for _ in range(10):
                        list(clients.map(lambda _: httpx.get(models, timeout=30), range(CLIENTS)))
                        time.sleep(0.1)
                    both = len(list(home.logs.glob("*.accepted"))) == 2
                    return both and len(proxy.requests) <= count + 2

                servers.wait_until(have_both_read)
                count, started = len(proxy.requests), time.monotonic()
                while time.monotonic() < started + 6:
                    assert httpx.get(models, timeout=30).status_code == 200
                    time.sleep(0.1)
                requests, seconds = proxy.requests[count:], time.monotonic() - started
            finally:
                service.terminate()
                service.wait(60)
        assert 2 <= len(requests) <= seconds / POLL_S + 1, requests
        processes = descendants(mlflow.pid)
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes]
        password = postgres.address("x").split(":")[2].partition("@")[0].encode()
        assert [line for line in lines if password in line] == []
        assert len(processes) <= 3, lines
        assert sum(map(megabytes, processes)) < MAX_MEGABYTES


def test_the_containers_start_the_same_server_without_a_password_on_the_command_line() -> None:
    settings, command = documented()
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert "PASSWORD" not in str(service.get("command", "")), name
        assert "PASSWORD" not in str(service.get("healthcheck", "")), name
    mlflow = services["mlflow"]
    assert {name: mlflow["environment"][name] for name in settings if "STORE" not in name} == {
        name: value for name, value in settings.items() if "STORE" not in name
    }
    assert "MLFLOW_BACKEND_STORE_URI" in mlflow["environment"]
    assert {"--workers 1", "--serve-artifacts"} <= {*re.findall(r"--[a-z-]+(?: \d+)?", mlflow["command"])}
    assert {"--workers", "1", "--serve-artifacts"} <= {*command}
