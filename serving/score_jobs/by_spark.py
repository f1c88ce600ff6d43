"""A score job by Spark: each task scores a chunk from the snapshots of the last build, and writes its part.

The parts, and the files made of them, are the same bytes as without Spark while the online store has the
features of the last build. A task that is run again replaces its part in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.calendar import day_of, micros
from core.errors import PatronError
from features.offline.engines.engine import SHARING_NEEDED
from features.offline.engines.exchange import place_of, replacing
from features.offline.engines.executors import Executors
from features.offline.engines.snapshot_columns import SnapshotColumns
from models.registry.bundle import open_bundle
from models.registry.registry import Registry
from models.registry.registry_state import VersionFiles
from records import history, job_parts
from records.jobs import read_keys
from records.score_jobs import ScoreJob, ScoreJobStore, part_name
from serving.score_jobs.scoring import open_models
from serving.scores.batches.columns import score_columns
from serving.scores.champions import Champions
from serving.totals import of_job


def score_job(store: ScoreJobStore, job: ScoreJob, champions: Champions, executors: Executors) -> None:
    """Score the chunks of a job that are not done, each as a task of Spark.

    At the end it computes the totals of the shop and its segments.

    Raises:
        PatronError: a version cannot be opened any more, nothing was built yet, or executors do not write
            into this home.
    """
    models, registry, shop = open_models(store, job, champions), Registry(store.home), store.home.shop()
    now = shop.now()
    metadata = {
        "at_us": micros(now),
        "day": day_of(now, shop.time_zone),
        "after": history.latest(store.home),
    }
    bundles = {name: registry.files(name, version) for name, version in job.models.items()}
    chunks, columns = store.open_chunks(job), SnapshotColumns.of(store.home, executors.exchange)
    (customers,) = executors.exchange.publish([store.customers_file(job)])
    with executors.exchange.returned_into(store.part(job, 0).parent) as parts:
        executors.sum(len(chunks), ChunkTask(job, chunks, customers, parts, bundles, columns, metadata))
    if missing := store.open_chunks(job):
        raise PatronError(
            f"{len(missing)} of {len(chunks)} parts of the job {job.id} did not arrive; with a cluster,"
            f" {SHARING_NEEDED}"
        )
    of_job.write(store, job, models)


@dataclass(frozen=True)
class ChunkTask:
    """Scores a chunk and writes its part; it is called on the executors.

    Attributes:
        chunks: those to score.
        customers: the address of the file of the job's customers.
        parts: the address of the folder of the parts.
        bundles: the files of each model's version with the digest of its manifest, which the executor checks.
        metadata: as for :func:`records.job_parts.write`.
    """

    job: ScoreJob
    chunks: Sequence[int]
    customers: str
    parts: str
    bundles: Mapping[str, VersionFiles]
    columns: SnapshotColumns
    metadata: Mapping[str, int]

    def __call__(self, number: int) -> int:
        """Score the chunk of that number among ``chunks``; returns the number of its customers."""
        chunk = self.chunks[number]
        filesystem, path = place_of(self.customers)
        with filesystem.open(path, "rb") as file:
            keys = read_keys(file, chunk * self.job.chunk, self.job.chunk)
        models = [open_bundle(self.job.models[name], *bundle) for name, bundle in self.bundles.items()]
        features = dict.fromkeys(name for model in models for name in model.features)
        rows = score_columns(models, keys, self.columns.read(keys, [*features]))
        with replacing(f"{self.parts}/{part_name(chunk)}") as part:
            job_parts.write_rows(part, rows, self.metadata)
        return len(keys)
