"""The files in ``deploy/`` name metrics and labels that the code exposes, and units that systemd accepts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from core.home import Home
from features.live.heartbeat import Heart
from serving import supervisor
from serving.http.metrics import Metrics

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "patron.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
KEYWORDS = {
    "by",
    "without",
    "or",
    "and",
    "unless",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
}
OF_PROMETHEUS = {"job", "instance"}  # labels that a scrape adds
SERVICES = {"api", "refresher", "mlflow", "postgres", "redis"}


def parsed(query: str) -> tuple[dict[str, set[str]], set[str]]:
    """The metrics of a PromQL query with the labels that select them, and the labels that it groups by."""
    query = re.sub(r"\[[^\]]*\]", "", re.sub(r'"[^"]*"', '""', query))
    grouped: set[str] = set()
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query):
        grouped |= {label.strip() for label in labels.split(",")}
    query = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", query)
    metrics: dict[str, set[str]] = {}
    pattern = r'([a-zA-Z_:][\w:]*)\s*(\(|\{(?:[^}"]|"[^"]*")*\})?'
    for name, after in re.findall(pattern, re.sub(r"\b\d[\w.]*", "", query)):
        if after == "(" or name in KEYWORDS:
            continue
        metrics.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", after))
    return metrics, grouped


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for rule in RULES:
        yield rule["expr"]


@pytest.fixture(scope="module")
def exposed(
    open_shop: Home, answering: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """Every sample that the code can expose, with the names of its labels."""
    from records import ScoreLog
    from serving.app import create_app
    from serving.http.services import services_of
    from serving.scores.scorer import open_scorer

    with Heart(open_shop):
        pass
    labels: dict[str, set[str]] = {}
    with ScoreLog(open_shop) as log:
        scorer = open_scorer(open_shop, log)
        app = create_app(scorer, log)
        metrics = services_of(app)[Metrics]
        text = metrics.text().decode()
        for family in text_string_to_metric_families(text):
            suffixes = {
                "counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""],
            }[family.type]  # fmt: skip
            for suffix in suffixes:
                labels[family.name + suffix] = {"le"} if suffix == "_bucket" else set()
            for sample in family.samples:
                labels[sample.name] |= set(sample.labels)
        for collector in [*metrics.registry._collector_to_names]:  # also of those without series yet
            for name in metrics.registry._collector_to_names[collector]:
                if name in labels:
                    labels[name] |= set(getattr(collector, "_labelnames", ()))
        scorer.close()
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        with closing(supervisor.DeathCounter()) as deaths:
            deaths.increment()
    registry = CollectorRegistry()
    for family in MultiProcessCollector(registry, str(folder)).collect():
        labels |= {sample.name: set(sample.labels) for sample in family.samples}
    return {name: names for name, names in labels.items() if not name.endswith("_created")}


def test_every_metric_and_label_of_the_dashboard_and_the_alerts_is_exposed(
    exposed: dict[str, set[str]],
) -> None:
    used: set[str] = set()
    for query in queries():
        metrics, grouped = parsed(query)
        assert metrics, query
        assert metrics.keys() - {"up"} <= exposed.keys(), query
        known = set().union(*(exposed.get(name, set()) for name in metrics)) | OF_PROMETHEUS
        assert grouped <= known, query
        for name, selected in metrics.items():
            assert selected <= exposed.get(name, set()) | OF_PROMETHEUS, query
        used |= metrics.keys()
    # The dashboard shows all there is.
    shown = {re.sub("_(?:bucket|sum|count)$", "", name) for name in used}
    assert {re.sub("_(?:bucket|sum|count)$", "", name) for name in exposed} - shown == set()


def test_the_check_of_queries_finds_what_is_wrong() -> None:
    metrics, grouped = parsed('sum by (a, b) (rate(one_total{x="by (c)", y=~"z.."}[5m])) / 2 or two > 1e3')
    assert metrics == {"one_total": {"x", "y"}, "two": set()}
    assert grouped == {"a", "b"}


def test_every_metric_is_documented(exposed: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    documented = set(re.findall(r"`((?:patron|process)_[a-z_]+)`", page))
    names = {re.sub("_(?:bucket|sum|count)$", "", name) for name in exposed}
    assert names - documented == set()
    metrics = {name for name in documented if name.startswith(("patron_", "process_"))}
    assert metrics - names == set()


def test_alerts_are_complete_and_panels_do_not_overlap() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 10
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert {"summary", "description"} == set(rule["annotations"])
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert {job["job_name"] for job in scraped["scrape_configs"]} == {"patron"}
    assert scraped["rule_files"] == ["alerts.yml"]


def test_every_container_has_a_health_check_and_a_memory_limit() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert set(services) >= SERVICES
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["restart"] == "unless-stopped", name


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"/opt/patron/\S+", "/bin/true", unit.read_text())  # programs of an installed system
        (tmp_path / unit.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    verified = subprocess.run([program, "verify", "--man=no", *units], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if str(tmp_path) in line]
    assert complaints == []
    assert verified.returncode == 0, verified.stderr
