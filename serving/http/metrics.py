"""Prometheus metrics of a process, summed over the workers of a service.

Labels are routes, models, outcomes and names of keys, never customers. Several workers keep their values in
files of a folder that the supervisor names in ``PROMETHEUS_MULTIPROC_DIR`` before it starts them, as
prometheus_client does it; whichever worker answers sums them. That takes 2 µs more per request than values
in memory. Counters of a worker that died stay, its gauges vanish.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Annotated

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from records import ScoreLog
from serving.http.services import service
from serving.http.timing import Stages

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder of the values; read by prometheus_client when it is imported."""
SAMPLE_S = 1.0
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_STAGE_BUCKETS = (0.0001, 0.0002, 0.0005, *_BUCKETS)


class Metrics:
    """The metrics of one application.

    Attributes:
        collectors: what is read at each scrape and is not summed, since every worker knows all of it.
        samplers: called at each scrape, and every ``SAMPLE_S`` seconds where others read the values.
    """

    def __init__(self, log: ScoreLog) -> None:
        self.registry = CollectorRegistry()
        self.collectors: list[Collector] = []
        self.samplers: list[Callable[[], None]] = [
            _LogSampler(log, self.registry),
            _ProcessSampler(self.registry),
        ]
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
        self._folder = os.environ.get(FOLDER)
        self._sampling = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

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

    def start(self) -> None:
        """Sample in a thread, so that scrapes of other workers find current values."""
        if self._folder:
            self._thread.start()

    def close(self) -> None:
        """Sample for the last time, and end the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self._sample()

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format; may read stores, so not for the event loop."""
        self._sample()
        registry = CollectorRegistry()
        if self._folder:
            MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]
        else:
            registry.register(self.registry)
        for collector in self.collectors:
            registry.register(collector)
        return generate_latest(registry)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        with self._sampling:
            for sampler in self.samplers:
                sampler()


MetricsDep = Annotated[Metrics, service(Metrics)]


class _Total:
    """A counter that follows a total which is counted elsewhere."""

    def __init__(self, counter: Counter) -> None:
        self._counter, self._last = counter, 0.0

    def follow(self, total: float) -> None:
        self._counter.inc(max(total - self._last, 0.0))
        self._last = max(total, self._last)


class _LogSampler:
    """The score log: what was committed, what was lost, and what waits."""

    def __init__(self, log: ScoreLog, registry: CollectorRegistry) -> None:
        self._log = log
        self._written = _Total(
            Counter("patron_log_written", "Answers committed to the score log.", registry=registry)
        )
        self._lost = _Total(
            Counter(
                "patron_log_lost",
                "Answers lost: to killed processes before this one, or while the log could not be written.",
                registry=registry,
            )
        )
        self._queued = Gauge(
            "patron_log_queued",
            "Answers waiting to be committed.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def __call__(self) -> None:
        self._written.follow(self._log.written)
        self._lost.follow(self._log.lost_before + self._log.dropped)
        self._queued.set(self._log.queued)


class _ProcessSampler:
    """The processes that answer requests: how many, their processor time, memory and open files."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source = ProcessCollector(registry=None)
        gauge = functools.partial(Gauge, registry=registry)
        gauge("patron_workers", "Processes that answer requests.", multiprocess_mode="livesum").set(1)
        self._cpu = _Total(
            Counter("process_cpu_seconds", "Processor time of the workers, in seconds.", registry=registry)
        )
        self._gauges = {
            "process_resident_memory_bytes": gauge(
                "process_resident_memory_bytes", "Resident memory of the workers; each counts shared pages.",
                multiprocess_mode="livesum",
            ),
            "process_open_fds": gauge(
                "process_open_fds", "Open files of the workers.", multiprocess_mode="livesum"
            ),
            "process_max_fds": gauge(
                "process_max_fds", "The limit of open files of a worker.", multiprocess_mode="livemin"
            ),
            "process_start_time_seconds": gauge(
                "process_start_time_seconds", "Start of the oldest worker, in seconds since 1970.",
                multiprocess_mode="livemin",
            ),
        }  # fmt: skip

    def __call__(self) -> None:
        for metric in self._source.collect():  # nothing on systems without /proc
            for sample in metric.samples:
                if sample.name in self._gauges:
                    self._gauges[sample.name].set(sample.value)
                elif sample.name == "process_cpu_seconds_total":
                    self._cpu.follow(sample.value)
