"""Traces by OpenTelemetry: a span per request, with its stages as children; off by default.

The spans name a route's pattern and never its path, query or body, which may name customers. The libraries
that instrument FastAPI export the path, so Patron makes its spans itself, after the response.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from starlette.types import Scope

import features
from serving.http.timing import Stages

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PARENT = ("traceparent", "tracestate")
_log = logging.getLogger(__name__)


class Tracer:
    """Exports a span per request, in batches and in a thread of its own."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._parents = provider, TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("patron", features.__version__)

    def record(self, scope: Scope, route: str, status: int, stages: Stages, seconds: float) -> None:
        """Export a request that ended now.

        Args:
            route: the pattern of its path.
            seconds: its duration.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        end = time.time_ns()
        at = start = end - int(seconds * 1e9)
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name.decode("latin-1") in PARENT
        }
        attributes = {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
            "url.scheme": scope["scheme"],
        }
        span = self._tracer.start_span(
            f"{scope['method']} {route}", self._parents.extract(carrier), SpanKind.SERVER, attributes,
            start_time=start,
        )  # fmt: skip
        if span.is_recording():
            context = set_span_in_context(span)
            for stage, took in stages.seconds.items():
                child = self._tracer.start_span(stage, context, start_time=at)
                at += int(took * 1e9)
                child.end(at)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Export what waits, and end the thread."""
        self._provider.shutdown()


def open_tracer() -> Tracer | None:
    """The tracer that the environment asks for; None by default, or if its libraries are not installed.

    ``OTEL_TRACES_EXPORTER`` is ``otlp``, ``console`` or ``none``; an address in one of ``ENDPOINTS`` means
    ``otlp``. The libraries read the other variables themselves.
    """
    exporter_name = os.environ.get("OTEL_TRACES_EXPORTER") or (
        "otlp" if any(map(os.environ.get, ENDPOINTS)) else "none"
    )
    if exporter_name == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        exporter = _exporter(exporter_name)
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        _log.warning("there are no traces: %s; install the extra `otel`", missing)
        return None
    if exporter is None:
        _log.warning("there are no traces: OTEL_TRACES_EXPORTER cannot be %r", exporter_name)
        return None
    own = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME", "patron"),
        "service.version": features.__version__,
    }
    provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracer(provider)


def _exporter(name: str) -> SpanExporter | None:
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if name == "console":
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    return None
