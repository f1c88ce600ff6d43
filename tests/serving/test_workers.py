"""`patron serve` as it is started: several processes on one socket, and a refresher beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest

from benchmarks.harness import servers
from core.calendar import day_of, micros
from core.home import Home
from core.storage.database import Database
from events import journal
from events.journal import Message
from events.lake import shops
from features.live import progress

ROOT = Path(__file__).parents[2]
until = partial(servers.wait_until, seconds=600)  # a build gives way to whatever else the machine does


def children(pid: int) -> dict[int, str]:
    """The processes that a process started, with their command lines."""
    tasks = Path(f"/proc/{pid}/task").iterdir()  # each thread lists those that it started
    listed = " ".join((task / "children").read_text() for task in tasks).split()
    return {
        int(child): Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for child in listed
    }


def of(pid: int, command: str, count: int) -> list[int]:
    """The processes that a process started by this command, once there are so many."""
    result = [child for child, line in children(pid).items() if command in line]
    return result if len(result) == count else []


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="tells processes by /proc")
def test_workers_of_an_empty_shop_answer_and_a_refresher_follows_the_news(tmp_path: Path) -> None:
    home, port = Home(tmp_path / "home"), servers.free_port()
    shops.begin_live(home, "Europe/Berlin", "EUR")
    progress.divide(home, 2)
    command = [sys.executable, str(ROOT / "patron.py"), "serve", "--workers", "2", "--port", str(port)]
    environment = os.environ | {"PATRON_HOME": str(home.path), "MLFLOW_TRACKING_URI": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as service:

        def get(path: str) -> httpx.Response | None:
            try:
                return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
            except httpx.TransportError:
                assert service.poll() is None, service.communicate()
                return None

        try:
            alive = until(lambda: get("/healthz"))
            assert alive.status_code == 200
            workers = until(lambda: of(service.pid, "spawn_main", 2))
            # Each shard has a refresher of its own.
            assert not any("-m patron refresh" in line for line in children(service.pid).values())
            progress.divide(home, 1)
            until(lambda: of(service.pid, "-m patron refresh", 1))
            not_ready = get("/readyz")
            assert not_ready is not None
            assert not_ready.status_code == 503
            assert "no model has a champion" in not_ready.json()["reasons"]
            # Events that arrive end in rows, whichever process is asked.
            now = datetime.now(UTC)
            at = [micros(now), micros(now), day_of(now, "Europe/Berlin")]
            line = [*at, "o1", "p1", "c", 1, "5.0000", "0.0000"]
            journal.append(
                Database(home), [Message("m1", now, "A", rows={"order_lines": [line]})], compacted_seq=0
            )
            until(lambda: progress.lag(home, Database(home)).messages == 0)
            for _ in range(6):
                portrait = get("/v1/customers/A")
                assert portrait is not None
                assert portrait.json()["facts"]["purchases"]["orders_total"]["value"] == 1, portrait.text
            until(lambda: "patron_live_lag_seconds 0.0" in get("/metrics").text)  # type: ignore[union-attr]
            os.kill(workers[0], signal.SIGKILL)  # the other one answers alone, until there are two again
            assert until(lambda: get("/healthz")).status_code == 200
            until(lambda: of(service.pid, "spawn_main", 2))
            until(lambda: "patron_workers 2.0" in get("/metrics").text)  # type: ignore[union-attr]
            assert "patron_worker_deaths_total 1.0" in get("/metrics").text  # type: ignore[union-attr]
            (refresher,) = of(service.pid, "-m patron refresh", 1)
            os.kill(refresher, signal.SIGKILL)
            until(lambda: {*of(service.pid, "-m patron refresh", 1)} - {refresher})
            everybody = [*children(service.pid)]
        finally:
            service.terminate()
            logged = [json.loads(line) for line in service.communicate(timeout=60)[1].splitlines()]
        (death,) = (line for line in logged if "was ended by signal 9" in line["message"])
        assert (death["level"], death["worker"], death["exit_code"]) == ("error", workers[0], -9)
        (death,) = (line for line in logged if line.get("refresher") == refresher and "exit_code" in line)
        assert (death["level"], death["exit_code"]) == ("error", -9)
        divisions = [line["message"] for line in logged if "divided" in line["message"]]
        assert ["into 2 shards" in divisions[0], *divisions[1:]] == [
            True, "the customers of this shop are no longer divided; this service starts a refresher"
        ]  # fmt: skip
        until(lambda: all(gone(pid) for pid in everybody))
