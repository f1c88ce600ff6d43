"""Traces, as a collector receives them over OTLP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.home import Home
from records import ScoreLog
from serving import tracing
from serving.app import create_app
from serving.scores.scorer import open_scorer

ROOT = Path(__file__).parents[3]
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"
Received = list[tuple[str, ExportTraceServiceRequest]]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """What a collector received, with the path of the request; the environment names its address."""
    received: Received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield received
        server.shutdown()


def attributes(of: Any) -> dict[str, Any]:
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value"))  # type: ignore[arg-type]
        for one in of.attributes
    }


def test_a_request_is_a_span_with_its_stages_and_names_no_customer(served: Home, collector: Received) -> None:
    async def ask() -> None:
        with ScoreLog(served) as log:
            app = create_app(open_scorer(served, log), log, tracer=tracing.open_tracer())
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://patron") as client,
            ):
                parent = {"traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
                await client.post("/v1/scores", json={"customer_ids": ["C000001"]}, headers=parent)
                await client.get("/v1/customers/C-secret?language=zh")
                await client.get("/readyz?for=events")

    asyncio.run(ask())
    assert {path for path, _ in collector} == {"/v1/traces"}
    (resource,) = {str(attributes(part.resource)) for _, body in collector for part in body.resource_spans}
    assert "'service.name': 'patron'" in resource
    spans = [
        span
        for _, body in collector
        for part in body.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    ]
    requests = {span.name: span for span in spans if span.kind == span.SPAN_KIND_SERVER}
    assert set(requests) == {"POST /v1/scores", "GET /v1/customers/{customer_id:path}", "GET /readyz"}
    scores = requests["POST /v1/scores"]
    assert scores.trace_id.hex() == PARENT
    assert attributes(scores) == {
        "http.request.method": "POST", "http.route": "/v1/scores", "http.response.status_code": 200,
        "url.scheme": "http",
    }  # fmt: skip
    stages = [span for span in spans if span.parent_span_id == scores.span_id]
    assert [span.name for span in stages] == ["receive", "read", "assemble", "predict", "respond"]
    assert all(one.end_time_unix_nano == other.start_time_unix_nano for one, other in pairwise(stages))
    assert scores.start_time_unix_nano == stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= scores.end_time_unix_nano
    assert requests["GET /readyz"].status.code == 2  # an error: the clock of this shop stands
    assert "C-secret" not in str(spans)
    assert "C000001" not in str(spans)


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
    ],
)
def test_traces_are_off_unless_the_environment_asks_for_them(
    variables: dict[str, str], on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    tracer = tracing.open_tracer()
    assert (tracer is not None) == on
    if tracer:
        tracer.close()


def test_without_the_libraries_the_service_works_and_says_so() -> None:
    code = """
import sys, logging
sys.modules["opentelemetry.exporter.otlp.proto.http.trace_exporter"] = None
from serving import tracing
from core import logging_setup
logging_setup.configure("json")
assert tracing.open_tracer() is None
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert "install the extra `otel`" in json.loads(line)["message"]
