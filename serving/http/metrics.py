"""Prometheus metrics. Labels are routes, models, outcomes and names of keys, never customers."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping
from typing import Annotated

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events import journal
from features.live import recompute
from records import ScoreLog
from serving.http.services import service
from serving.http.timing import Stages

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_STAGE_BUCKETS = (0.0001, 0.0002, 0.0005, *_BUCKETS)


class Metrics:
    """The metrics of one application."""

    def __init__(self, log: ScoreLog, home: Home) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "patron_request_seconds", "Time from request to response.", ["route", "status"],
            registry=self.registry, buckets=_BUCKETS,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "patron_stage_seconds", "Time that a stage of a request took.", ["route", "stage"],
            registry=self.registry, buckets=_STAGE_BUCKETS,
        )  # fmt: skip
        self.answers = Counter(
            "patron_answers", "Scores asked for, by model and outcome.", ["model", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "patron_events", "Events taken in, by outcome: kept or quarantined.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.limited = Counter(
            "patron_limited", "Requests refused because a key had sent all it may, by its name.", ["key"],
            registry=self.registry,
        )  # fmt: skip
        self.unlimited = Counter(
            "patron_unlimited", "Requests of limited keys let through because their limits were away.",
            registry=self.registry,
        )  # fmt: skip
        # There are few, and the lookup by labels is slow in the client library.
        self._series = functools.cache(Histogram.labels)
        self.registry.register(_LogCollector(log))
        if home.shop().live:
            self.registry.register(_EventsCollector(home))

    def observe(self, route: str, status: int, stages: Stages) -> float:
        """Count a request that ends now; returns its duration in seconds."""
        seconds = time.perf_counter() - stages.started
        self._series(self.seconds, route, status).observe(seconds)
        for stage, took in stages.seconds.items():
            self._series(self.stage_seconds, route, stage).observe(took)
        return seconds

    def count(self, outcomes: Mapping[tuple[str, str], int]) -> None:
        """Count the scores of one request, by model and outcome."""
        for labels, count in outcomes.items():
            self._series(self.answers, *labels).inc(count)

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)


MetricsDep = Annotated[Metrics, service(Metrics)]


class _LogCollector:
    """Reads the counters of the score log at each scrape."""

    def __init__(self, log: ScoreLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """The metrics with their current values."""
        log = self._log
        yield CounterMetricFamily("patron_log_written", "Answers committed to the score log.", log.written)
        yield CounterMetricFamily(
            "patron_log_lost",
            "Answers lost: to killed processes before this one, or while the log could not be written.",
            log.lost_before + log.dropped,
        )
        yield GaugeMetricFamily("patron_log_queued", "Answers waiting to be committed.", log.queued)


class _EventsCollector:
    """Reads at each scrape how far online rows are behind the events, and how many messages conflicted."""

    def __init__(self, home: Home) -> None:
        self._home, self._database = home, Database(home)

    def collect(self) -> Iterable[Metric]:
        """The metrics; none while the database is unavailable."""
        try:
            lag = recompute.lag(self._home, self._database)
            conflicts = journal.count_conflicts(self._database)
        except PatronError:
            return
        yield GaugeMetricFamily(
            "patron_live_lag_messages", "Messages that online rows do not know yet.", lag.messages
        )
        yield GaugeMetricFamily(
            "patron_live_lag_seconds", "Age of the oldest message that they do not know.", lag.seconds
        )
        yield CounterMetricFamily(
            "patron_message_conflicts",
            "Messages that came with the messageId of another message; both are stored.",
            conflicts,
        )
