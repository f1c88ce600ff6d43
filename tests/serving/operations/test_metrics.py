"""The metrics: summed over workers, complete, and without customers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.home import Home
from events.identity import Identity
from models.registry.registry import CHAMPION, Registry
from serving.app import ROUTERS

ROOT = Path(__file__).parents[3]
LABELS = {"route", "status", "stage", "model", "outcome", "key", "version", "python", "task", "le"}
Get = Callable[..., httpx.Response]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


def test_no_label_holds_a_customer(open_shop: Home, answering: Callable[..., Any]) -> None:
    ids = [*Identity(open_shop).table()["customer_id"].to_pylist()[:3], "nobody/at all"]
    with answering(open_shop) as get:
        for customer_id in ids:
            paths = {route.path_format for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
            for path in sorted(paths):
                filled = re.sub(r"\{[^}]+\}", customer_id, path)
                get(f"{filled}?filter={customer_id}&writeKey={customer_id}")
                get(filled, method="POST", json={"customer_ids": [customer_id], "userId": customer_id})
        text = get("/metrics").text
    assert {name for _, labels in samples(text) for name, _ in labels} <= LABELS
    values = {label for _, labels in samples(text) for _, label in labels}
    assert not [label for label in values for customer_id in ids if customer_id in label]
    routes = {label for _, labels in samples(text) for name, label in labels if name == "route"}
    assert len(routes) > 20
    assert routes <= {"none", "/openapi.json", *paths, *(path.replace("_id}", "_id:path}") for path in paths)}


def test_versions_and_what_became_of_champions_are_shown(
    trained_copy: Home, answering: Callable[..., Any]
) -> None:
    registry = Registry(trained_copy)
    (bundle,) = trained_copy.mlflow.rglob(f"{registry.versions('clv')[0].run_id}/**/manifest.json")
    bundle.write_bytes(bundle.read_bytes() + b" ")
    registry.mlflow.client.delete_registered_model_alias("churn", CHAMPION)
    with answering(trained_copy) as get:
        text = get("/metrics").text
    shown = {
        name: [value(text, f"patron_champion_{state}", model=name) for state in ("missing", "refused")]
        for name in ("churn", "clv", "propensity")
    }
    assert shown == {"churn": [1, 0], "clv": [0, 1], "propensity": [0, 0]}
    assert value(text, "patron_model_info", model="propensity", version="1") == 1
    assert value(text, "patron_model_info", model="clv", version="1") is None
    assert 'patron_build_info{python="3.' in text
    assert (value(text, "process_resident_memory_bytes") or 0) > 1e7
    assert value(text, "patron_workers") == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of metrics, as workers use it."""
    path = tmp_path / "metrics"
    path.mkdir()
    return path


WORKER = """
import sys
from serving.http.metrics import Metrics
from serving.http.timing import Stages
class Log:
    written, lost_before, dropped, queued = 5, 2, 1, 3
metrics = Metrics(Log())
metrics.start()
for _ in range(int(sys.argv[1])):
    metrics.observe("/v1/scores", 200, Stages())
    metrics.count({("churn", "scored"): 2})
metrics.text()
print("ready", flush=True)
for line in sys.stdin:
    print(metrics.text().decode() + "END", flush=True)
"""


def test_workers_are_summed_and_of_a_dead_one_counters_stay_and_gauges_vanish(folder: Path) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}

    def start(requests: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, str(requests)]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def scrape(worker: subprocess.Popen[str]) -> str:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
        return "".join(iter(worker.stdout.readline, "END\n"))

    def shown(text: str) -> tuple[float | None, ...]:
        return (
            value(text, "patron_request_seconds_count", route="/v1/scores", status="200"),
            value(text, "patron_answers_total", model="churn", outcome="scored"),
            value(text, "patron_log_written_total"),
            value(text, "patron_log_lost_total"),
            value(text, "patron_log_queued"),
            value(text, "patron_workers"),
        )

    with start(3) as one, start(4) as other:
        for worker in (one, other):
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in (one, other):
            text = scrape(worker)
            assert shown(text) == (7, 14, 10, 6, 6, 2)
        memory = value(text, "process_resident_memory_bytes") or 0
        one.send_signal(signal.SIGKILL)
        one.wait()
        mark_process_dead(one.pid, str(folder))  # as the supervisor does
        text = scrape(other)
        assert shown(text) == (7, 14, 10, 6, 3, 1)
        assert 0 < (value(text, "process_resident_memory_bytes") or 0) < 0.7 * memory
        with start(1) as third:
            assert third.stdout is not None
            assert third.stdout.readline() == "ready\n"
            assert shown(scrape(other)) == shown(scrape(third)) == (8, 16, 15, 9, 6, 2)
            third.kill()
        other.kill()
