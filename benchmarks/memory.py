"""The memory of the server profile, process by process.

PostgreSQL, Redis, MLflow's server, a refresher and an API of two workers are started as docs/operating.md
says, with MLflow's command line from there. A shop is simulated and its models are trained; then the API
scores single customers and a thousand at once, and takes events, which the refresher follows. PSS
(proportional set size) divides shared pages among the processes that share them, so it may be added up; RSS
counts them in each.

    python -m benchmarks.memory [--customers N] [--requests N]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import homes, processes, report, servers
from benchmarks.harness.postgres import postgres_programs, running_postgres

ROOT = Path(__file__).parents[1]
MEGABYTE = 1_000_000
SETTLE_S = 15.0
MODELS = ("propensity", "churn", "clv")


def main() -> None:
    parser = argparse.ArgumentParser(description="The memory of each process of the server profile.")
    parser.add_argument("--customers", type=int, default=6000, help="Customers of the simulated shop.")
    parser.add_argument("--requests", type=int, default=2000, help="Scores and events before it is measured.")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs, redis_server = postgres_programs(), shutil.which("redis-server")
    if programs is None or redis_server is None:
        raise SystemExit("this benchmark needs PostgreSQL and redis-server")
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder)
        postgres = stack.enter_context(running_postgres(programs))
        shop, mlflow = (stack.enter_context(postgres.database()) for _ in range(2))
        redis_port = stack.enter_context(servers.redis(redis_server, path))
        mlflow_port = servers.free_port()
        tracking = stack.enter_context(_running(_mlflow(mlflow, path, mlflow_port), {}, path / "mlflow.log"))
        _wait(f"http://{servers.HOST}:{mlflow_port}/health")
        environment = {
            **homes.environment(path / "shop"),
            "PATRON_DATABASE": shop,
            "PATRON_ONLINE_STORE": f"redis://{servers.HOST}:{redis_port}/0",
            "PATRON_MLFLOW_URI": f"http://{servers.HOST}:{mlflow_port}",
            "PATRON_REFRESHER": "off",
        }
        for command in (
            ["simulate", "--customers", str(arguments.customers)],
            *(["train", name] for name in MODELS),
        ):
            subprocess.run(
                _patron(*command), env=os.environ | environment, check=True, stdout=subprocess.DEVNULL
            )
        port = servers.free_port()
        refresher = stack.enter_context(_running(_patron("refresh"), environment, path / "refresher.log"))
        serve = _patron("serve", "--workers", "2", "--port", str(port))
        api = stack.enter_context(_running(serve, environment, path / "api.log"))
        _wait(f"http://{servers.HOST}:{port}/readyz")
        _use(port, arguments.requests)
        time.sleep(SETTLE_S)
        results = {
            f"{name} {kind}": report.Result(size / MEGABYTE, "MB")
            for name, process in (("api", api), ("refresher", refresher), ("mlflow", tracking))
            for kind, size in _sizes(process.pid).items()
        }
    report.publish("memory", results)


def _mlflow(database: str, folder: Path, port: int) -> list[str]:
    """The documented command of MLflow's server, with an address and a folder of this run."""
    page = (ROOT / "docs" / "operating.md").read_text()
    (block,) = (block for block in re.findall(r"```sh\n(.*?)```", page, re.S) if "mlflow server" in block)
    script = re.split(r"^patron ", block, maxsplit=1, flags=re.M)[0]
    script = re.sub(
        r"postgresql\+psycopg://[^\s'\"]+", re.sub("^postgres(ql)?:", "postgresql+psycopg:", database), script
    )
    script = script.replace("/srv/patron/artifacts", str(folder / "artifacts"))
    return [
        "sh",
        "-c",
        re.sub(r"mlflow server", f"exec {Path(sys.executable).parent}/mlflow server --port {port}", script),
    ]


def _patron(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "patron.py"), *arguments]


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the duration of the block."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(servers.STOP_SECONDS * 3)


def _wait(address: str) -> None:
    deadline = time.monotonic() + servers.START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _use(port: int, requests: int) -> None:
    """Score and send events, as an application does."""
    customers = [f"C{number:06d}" for number in range(1000)]
    for number in range(requests):
        customer = customers[number % len(customers)]
        _post(port, "/v1/scores", {"customer_ids": [customer]})
        _post(
            port,
            "/v1/track",
            {"userId": customer, "event": "Product Viewed", "properties": {"product_id": "P1"}},
        )
        if number % 100 == 0:
            _post(port, "/v1/scores", {"customer_ids": customers})


def _post(port: int, path: str, body: Mapping[str, Any]) -> None:
    request = urllib.request.Request(
        f"http://{servers.HOST}:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=60).close()


def _sizes(pid: int) -> dict[str, float]:
    """The memory of a process and of each of its descendants, in bytes."""
    sizes: dict[str, float] = {}
    total = {"PSS": 0.0, "RSS": 0.0}
    for number, process in enumerate(processes.family(pid)):
        for kind, size in _rollup(process).items():
            sizes[f"{number} {_role(process)} {kind}"] = size
            total[kind] += size
    return sizes | {f"all {kind}": size for kind, size in total.items()}


def _rollup(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        kind.upper(): 1024 * float(size) for kind, size in re.findall(r"^(Pss|Rss):\s+(\d+) kB", text, re.M)
    }


def _role(pid: int) -> str:
    """What a process is, by its command line."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    roles = {
        "resource_tracker": "resource tracker",
        "spawn_main": "worker",
        "patron.py serve": "supervisor",
        "patron.py refresh": "refresher",
        "mlflow server": "command",
        "mlflow.server": "server",
    }
    return next((role for word, role in roles.items() if word in line), line.split(" ")[0].rpartition("/")[2])


if __name__ == "__main__":
    main()
