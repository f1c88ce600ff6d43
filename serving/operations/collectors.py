"""Metrics that are read at a scrape: of the build, the refresher, the journal and the models."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TypeAlias

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import CollectorRegistry

import features
from core.circuit_breaker import CircuitBreaker
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events import journal
from events.segment import retention
from events.segment.retention import QuarantineSize
from features.live.freshness import Freshness, FreshnessMonitor
from features.live.heartbeat import Heartbeat
from serving.scores.champions import ChampionState

MAX_AGE_S = 15.0  # of the counts in the database, which take long where the quarantine is full
BUDGET_S = 1.0  # of reading them
ChampionStates: TypeAlias = Callable[[], Mapping[str, ChampionState]]
"""Returns the state of each model's champion."""


class BuildCollector:
    """What runs here."""

    def collect(self) -> Iterable[Metric]:
        """Always the same."""
        labels = {"version": features.__version__, "python": platform.python_version()}
        yield InfoMetricFamily("patron_build", "The version of Patron and of Python.", labels)


class RefresherCollector:
    """The refresher, by its heartbeat in the home; and how far the features are behind the events."""

    def __init__(self, monitor: FreshnessMonitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterable[Metric]:
        """The metrics; those of the lag are missing while the database is unavailable."""
        freshness = self._monitor.current()
        yield GaugeMetricFamily(
            "patron_features_current", "Whether the refresher keeps up with the events: 1 or 0.",
            float(freshness.reason is None),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "patron_refresher_shards", "Refreshers that share the customers of the home.", freshness.shards
        )
        yield GaugeMetricFamily(
            "patron_refresher_shards_silent",
            "Those of them that gave no sign for 15 seconds.",
            freshness.silent_shards,
        )
        if freshness.lag is not None:
            yield GaugeMetricFamily(
                "patron_live_lag_messages",
                "Messages that online rows do not know yet.",
                freshness.lag.messages,
            )
            yield GaugeMetricFamily(
                "patron_live_lag_seconds",
                "Age of the oldest message that they do not know.",
                freshness.lag.seconds,
            )
        if freshness.heartbeat is not None:
            yield from _refresher(freshness, freshness.heartbeat)


def _refresher(freshness: Freshness, heartbeat: Heartbeat) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "patron_refresher_heartbeat_age_seconds",
        "Time since the refresher's last heartbeat.",
        freshness.silence_s,
    )
    yield GaugeMetricFamily(
        "patron_refresher_start_time_seconds", "When the refresher began to work, in seconds since 1970.",
        heartbeat.started_at_us / 1e6,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "patron_refresher_resident_memory_bytes", "Resident memory of the refresher.", heartbeat.memory_bytes
    )
    yield CounterMetricFamily(
        "patron_refresher_cpu_seconds", "Processor time of the refresher, without builds and compactions.",
        heartbeat.cpu_seconds,
    )  # fmt: skip
    yield CounterMetricFamily(
        "patron_refresher_customers",
        "Customers whose features were recomputed after an event.",
        heartbeat.customers,
    )
    yield CounterMetricFamily(
        "patron_refresher_errors", "Attempts of the refresher that failed.", heartbeat.errors
    )
    tasks = CounterMetricFamily(
        "patron_refresher_tasks", "Builds, compactions and deliveries that ended: done or failed.",
        labels=["task", "outcome"],
    )  # fmt: skip
    for task in ("build", "compact", "deliver"):
        for outcome in ("done", "failed"):
            tasks.add_metric([task, outcome], heartbeat.tasks.get(f"{task} {outcome}", 0))
    yield tasks


class JournalCollector:
    """The quarantine, and messages that conflict; counted at most every ``MAX_AGE_S`` seconds."""

    def __init__(self, home: Home, clock: Callable[[], float] = monotonic) -> None:
        self._database, self._clock = Database(home), clock
        # A database that hangs may keep one thread, and no scrape longer than the budget.
        self._thread = ThreadPoolExecutor(1, "journal-metrics")
        self._guarded = CircuitBreaker(f"the database {self._database.name}", BUDGET_S, self._thread)
        self._last: tuple[QuarantineSize, int] | None = None
        self._due = 0.0
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the thread once it is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def collect(self) -> Iterable[Metric]:
        """The metrics; none while the database is unavailable."""
        with self._lock:
            if self._clock() >= self._due:
                try:
                    self._last = self._guarded(self._read)
                    self._due = self._clock() + MAX_AGE_S
                except PatronError:
                    self._last = None
            if self._last is None:
                return
            size, conflicts = self._last
        yield GaugeMetricFamily("patron_quarantine_events", "Events in the quarantine.", size.events)
        yield GaugeMetricFamily(
            "patron_quarantine_bytes", "The size of all events in the quarantine.", size.bytes
        )
        yield CounterMetricFamily(
            "patron_message_conflicts",
            "Messages that came with the messageId of another message; both are stored.",
            conflicts,
        )

    def _read(self) -> tuple[QuarantineSize, int]:
        return retention.size(self._database), journal.count_conflicts(self._database)


class ChampionSampler:
    """Champions that are missing or refused in any worker, as gauges of 1 or 0 per model."""

    def __init__(self, states: ChampionStates, registry: CollectorRegistry) -> None:
        self._states = states
        self._missing, self._refused = (
            Gauge(
                f"patron_champion_{state}", words, ["model"], registry=registry, multiprocess_mode="livemax"
            )
            for state, words in (
                ("missing", "Whether no version of a model is in use since none is promoted: 1 or 0."),
                ("refused", "Whether the promoted version of a model could not be loaded: 1 or 0."),
            )
        )

    def __call__(self) -> None:
        """Set the gauges."""
        for name, champion in self._states().items():
            self._missing.labels(name).set(champion.version is None and not champion.refused)
            self._refused.labels(name).set(champion.refused)


class ModelCollector:
    """The versions in use in the worker that answers; all workers follow a promotion within a second."""

    def __init__(self, states: ChampionStates) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """One series per model that is in use."""
        family = GaugeMetricFamily(
            "patron_model_info", "The version in use of a model; always 1.", labels=["model", "version"]
        )
        for name, champion in self._states().items():
            if champion.version is not None:
                family.add_metric([name, champion.version], 1)
        yield family
