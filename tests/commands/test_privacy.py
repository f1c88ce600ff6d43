"""A second user of the machine reads nothing of a home, not even while commands and the service write it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from benchmarks.harness import servers
from core.home import Home
from core.shop import Clock

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Becomes nobody, says so, and reads whatever it can below a folder until its standard input closes.
READER = """
import os, select, sys
folder, uid = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
seen = set()
print("ready", flush=True)
while not select.select([0], [], [], 0.1)[0]:
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(place, name)
            try:
                os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
            except OSError:
                continue
            seen.add(path)
print(*sorted(seen), sep="\\n")
"""
ORDERS = "CustomerID,InvoiceDate,InvoiceNo,StockCode,Description,Quantity,UnitPrice,Country\n" + "".join(
    f"{i % 40},2024-0{1 + i % 6}-1{i % 9} 10:00,{i},{10000 + i % 7},THING,1,5.00,France\n" for i in range(200)
)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    rmtree(folder)


@contextmanager
def read_by_nobody(folder: Path) -> Iterator[set[str]]:
    """What nobody could read below a folder during the block, complete after it."""
    seen: set[str] = set()
    command = [sys.executable, "-c", READER, str(folder), str(NOBODY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        yield seen
        seen |= set(reader.communicate()[0].split())


@contextmanager
def modes_of(folder: Path) -> Iterator[set[str]]:
    """The paths below a folder that had a permission for others at any time during the block."""
    wide: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            for place, folders, names in os.walk(folder):
                for path in (os.path.join(place, name) for name in (*folders, *names)):  # noqa: PTH118
                    with suppress(OSError):
                        if os.lstat(path).st_mode & 0o077:
                            wide.add(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield wide
    finally:
        done.set()
        thread.join()


def run(home: Home, *words: object) -> str:
    """A command under the umask of most machines."""
    done = subprocess.run(
        [sys.executable, "-m", "patron", *map(str, words)], cwd=ROOT, umask=0o022, text=True,
        env=os.environ | {"PATRON_HOME": str(home.path)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


def serve_and_write(home: Home) -> None:
    """Start two workers and a refresher; send an event, and score everybody in the background."""
    port = servers.free_port()
    command = [sys.executable, "-m", "patron", "serve", "--workers", "2", "--port", str(port)]
    environment = os.environ | {"PATRON_HOME": str(home.path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, umask=0o022) as service:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        try:
            servers.wait_until(lambda: client.get("/readyz").status_code == 200, ignored=httpx.TransportError)
            event = {"userId": "1", "event": "Product Viewed", "messageId": "m1", "properties": {}}
            assert client.post("/v1/track", json=event).status_code == 200
            job = client.post("/v1/score-jobs", json={"models": ["propensity"]})
            assert job.status_code == 202, job.text
            servers.wait_until(lambda: client.get(job.headers["location"]).json()["status"] == "done")
        finally:
            client.close()
            service.send_signal(signal.SIGTERM)
            assert service.wait(60) in (0, -signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second user")
def test_nobody_reads_nothing_while_a_home_is_written(
    public_folder: Path, trained_shop: Home, copy_trained: Callable[[Home, Path], Home]
) -> None:
    trained = copy_trained(trained_shop, public_folder / "trained")
    run(trained, "keys", "list")  # makes it private
    imported, exports = Home(public_folder / "imported"), public_folder / "exports"
    exports.mkdir()
    exports.chmod(0o755)
    orders = public_folder / "orders.csv"
    orders.write_text(ORDERS)
    orders.chmod(0o644)  # as a person made it
    public = {str(orders), str(exports)}
    with read_by_nobody(public_folder) as seen, modes_of(public_folder) as wide:
        run(imported, "import", orders, "--as", "online-retail")
        run(trained, "build")
        run(trained, "train", "products")
        run(trained, "score", "--model", "propensity", "--out", exports / "scores.parquet")
        run(trained, "recommend", "--draft")
        trained.write_shop(replace(trained.shop(), clock=Clock()))  # takes events
        serve_and_write(trained)
    assert json.loads((imported.events / "import.json").read_text())
    assert {path.suffix for path in exports.iterdir()} == {".parquet"}
    assert public <= seen, "the reader could not read what all may read"
    assert seen - public == set()
    assert wide - public == set()
