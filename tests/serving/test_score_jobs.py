"""Score jobs: everybody once, by the same versions, whatever ends a process, and as requests are answered."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from python_calamine import CalamineWorkbook

import records as logs
from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import ANONYMOUS, Identity, assign, customers, ids, join
from features.offline.current import members
from models.questions import MODELS
from models.registry.registry import Registry
from records import ScoreLog, job_parts, score_jobs
from records.batches import AMOUNT_FIELDS, BOUNDS, ORDER_PARTS
from records.job import COMMAND, SERVICE, Interrupted, JobRunning
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.app import create_app
from serving.files import tables
from serving.score_jobs.scoring import create_job, score_job
from serving.score_jobs.to_file import score_everyone
from serving.scores.scorer import open_scorer

BERLIN = ZoneInfo("Europe/Berlin")

ROOT = Path(__file__).parents[2]
JOBS = "/v1/score-jobs"
AMOUNTS = [f"clv_{field}" for field in AMOUNT_FIELDS]
Ask = Callable[..., httpx.Response]


@contextmanager
def service(home: Home) -> Iterator[Ask]:
    """The service over a home: a function (method, path, ...); at the end it shuts down as under a server."""
    with ScoreLog(home) as log:
        app = create_app(open_scorer(home, log), log)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://patron")
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        ):
            yield lambda method, path, **given: portal.call(partial(client.request, method, path, **given))


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    """A trained shop whose jobs are this module's; ids in it are what spreadsheets misread."""
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("jobs") / "home")
    with Database(home).writing() as connection:
        for key, name in {1: "00123", 2: "=1+1", 3: 'Zoë "1"'}.items():
            for table in (customers, ids):
                renamed = sa.update(table).where(table.c.customer_key == key)
                connection.execute(renamed.values(customer_id=name))
        assign(connection, ["came-after-the-build"])
    return home


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_jobs, "CHUNK", 100)
        yield


@pytest.fixture(scope="module")
def ask(home: Home) -> Iterator[Ask]:
    with service(home) as ask:
        yield ask


@pytest.fixture(scope="module")
def everyone(home: Home) -> list[str]:
    result: list[str] = Identity(home).table()["customer_id"].to_pylist()
    return result


@pytest.fixture(scope="module")
def job(ask: Ask) -> dict[str, Any]:
    """A job for everybody, done."""
    response = ask("POST", JOBS, json={})
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"{JOBS}/{response.json()['job_id']}"
    return ended(ask, response.json()["job_id"])


def ended(ask: Ask, job_id: str, going: tuple[str, ...] = ("running",)) -> dict[str, Any]:
    for _ in range(600):
        body: dict[str, Any] = ask("GET", f"{JOBS}/{job_id}").json()
        if body["status"] not in going:
            return body
        time.sleep(0.05)
    raise AssertionError("the job did not end")


def file(ask: Ask, job_id: str, kind: str) -> httpx.Response:
    response = ask("GET", f"{JOBS}/{job_id}/file", params={"format": kind})
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"] == f'attachment; filename="scores-{job_id}.{kind}"'
    return response


def begun(home: Home, **given: Any) -> ScoreJob:
    champions = open_scorer(home, None).champions
    fields = {"segment": None, "origin": COMMAND} | given
    return create_job(ScoreJobStore(home), champions, list(MODELS), **fields)


def execute(home: Home, job: ScoreJob) -> None:
    store = ScoreJobStore(home)
    with store.execute(job):
        score_job(store, job, open_scorer(home, None).champions, threads=1)


def stopping_after(monkeypatch: pytest.MonkeyPatch, count: int, raised: BaseException) -> None:
    """Let the work on a job end when it has so many parts."""
    real = job_parts.write

    def write_part(store: ScoreJobStore, job: ScoreJob, *given: Any) -> None:
        if len(list((store.folder / job.id).glob("*.parquet"))) >= count:
            raise raised
        real(store, job, *given)

    monkeypatch.setattr(job_parts, "write", write_part)


# What it answers


def test_a_job_answers_everybody_as_requests_are_answered(
    ask: Ask, job: dict[str, Any], everyone: list[str]
) -> None:
    assert (job["status"], job["error"], job["segment"], job["absent"]) == ("done", None, None, {})
    assert job["total"] == job["done"] == len(everyone)
    assert job["models"] == dict.fromkeys(MODELS, "1")
    table = pq.read_table(io.BytesIO(file(ask, job["job_id"], "parquet").content))
    assert table["customer_id"].to_pylist() == everyone
    assert all(str(table.schema.field(f"{name}_reason").type) == "string" for name in MODELS)
    rows = {row["customer_id"]: row for row in table.to_pylist()}
    assert "no features yet" in rows["came-after-the-build"]["clv_reason"]
    for request in (everyone, everyone[:1]):  # many at once, and one alone, which goes another way
        answered = ask("POST", "/v1/scores", json={"customer_ids": request}).json()["customers"]
        for entry in answered:
            row = rows[entry["customer_id"]]
            as_of = row["features_as_of"] and row["features_as_of"].strftime("%Y-%m-%dT%H:%M:%SZ")
            assert as_of == entry["features_as_of"]
            for name, score in entry["scores"].items():
                own = {
                    "score": row[name], "percentile": row[f"{name}_percentile"],
                    "version": row[f"{name}_version"], "reason": row[f"{name}_reason"],
                }  # fmt: skip
                if name == "clv":
                    own |= {field: row[f"clv_{field}"] for field in AMOUNT_FIELDS}
                    assert row["clv"] is None or row["clv_low"] <= row["clv"] <= row["clv_high"]
                assert own == {what: score[what] for what in own}
    assert sum(row["churn"] is not None for row in rows.values()) > 100
    assert sum(row["churn"] is None for row in rows.values()) > 10


def test_files_hold_the_same_and_a_spreadsheet_shows_ids_as_they_are(ask: Ask, job: dict[str, Any]) -> None:
    expected = pq.read_table(io.BytesIO(file(ask, job["job_id"], "parquet").content)).to_pylist()
    lines = file(ask, job["job_id"], "ndjson").content.decode().splitlines()
    for line, row in zip(lines, expected, strict=True):
        as_of = row["features_as_of"] and row["features_as_of"].strftime("%Y-%m-%dT%H:%M:%SZ")
        assert json.loads(line) == row | {"features_as_of": as_of}
    text = file(ask, job["job_id"], "csv").content.decode()
    assert text.startswith('\ufeff"customer_id","features_as_of",')
    read = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert [row["customer_id"] for row in read[:4]] == [
        '="00123"', '="=1+1"', '="Zoë ""1"""', expected[3]["customer_id"],
    ]  # fmt: skip
    for cells, row in zip(read, expected, strict=True):
        for name in MODELS:
            for column in (name, f"{name}_percentile", *(AMOUNTS if name == "clv" else ())):
                assert (float(cells[column]) if cells[column] else None) == row[column]
            assert cells[f"{name}_reason"] == (row[f"{name}_reason"] or "")
        assert not any("e" in cells[name] for name in MODELS)
    book = CalamineWorkbook.from_filelike(io.BytesIO(file(ask, job["job_id"], "xlsx").content))
    head, *lines = book.get_sheet_by_index(0).to_python()
    for cells, row in zip(lines, expected, strict=True):
        as_of = row["features_as_of"] and row["features_as_of"].astimezone(BERLIN).replace(tzinfo=None)
        values = row | {"features_as_of": as_of}
        for cell, value in zip(cells, map(values.__getitem__, head), strict=True):
            assert (
                cell == pytest.approx(value, rel=1e-15) if isinstance(value, float) else cell == (value or "")
            )


def test_a_segment_and_some_models_alone(ask: Ask, home: Home, job: dict[str, Any]) -> None:
    request = {"segment": "country:DE", "models": ["clv"]}
    made = ended(ask, ask("POST", JOBS, json=request).json()["job_id"])
    inside = members(home, ["country:DE"]).tolist()
    assert (made["total"], made["segment"], made["models"]) == (len(inside), "country:DE", {"clv": "1"})
    table = pq.read_table(io.BytesIO(file(ask, made["job_id"], "parquet").content))
    names = Identity(home).ids(inside)
    assert table["customer_id"].to_pylist() == [names[key] for key in inside]
    assert table.column_names == [
        "customer_id", "features_as_of", "clv", *AMOUNTS, "clv_percentile", "clv_version", "clv_reason",
    ]  # fmt: skip
    listed = ask("GET", JOBS).json()["jobs"]
    assert [made["job_id"], job["job_id"]] == [each["job_id"] for each in listed]


def test_parts_of_before_there_were_intervals_or_order_parts_make_a_file_without_them(
    trained_copy: Home,
) -> None:
    job = begun(trained_copy, segment="country:DE")
    execute(trained_copy, job)
    store = ScoreJobStore(trained_copy)
    first = store.part(job, 0)
    for absent, amounts in ((ORDER_PARTS, ["clv_low", "clv_high"]), (BOUNDS, [])):
        pq.write_table(pq.read_table(first).drop_columns([f"clv.{field}" for field in absent]), first)
        actual = pq.read_table(io.BytesIO(b"".join(tables.stream(store, job, "parquet"))))
        assert actual.num_rows == job.total > score_jobs.CHUNK
        assert [name for name in actual.column_names if name.startswith("clv")] == [
            "clv", *amounts, "clv_percentile", "clv_version", "clv_reason",
        ]  # fmt: skip


def test_what_cannot_be_asked_is_refused(
    ask: Ask, home: Home, refused: Callable[..., None], job: dict[str, Any]
) -> None:
    refused(ask("POST", JOBS, json={"segment": "country:XX"}), "AT, CH, DE")
    refused(ask("POST", JOBS, json={"models": ["chrun"]}), "no model 'chrun'")
    refused(ask("GET", f"{JOBS}/{'0' * 32}"), "there is no such job", 404)
    refused(ask("GET", f"{JOBS}/..%2Fmlflow"), "", 404)
    refused(ask("GET", f"{JOBS}/{job['job_id']}/file?format=pdf"), "format: ")
    refused(ask("POST", f"{JOBS}/{job['job_id']}/stop"), "the job is done already", 409)
    other = begun(home)
    store = ScoreJobStore(home)
    with store.execute(other):
        refused(ask("POST", JOBS, json={}), f"the job {other.id} is running", 409)
        body = ask("GET", f"{JOBS}/{other.id}").json()
        assert (body["status"], body["done"]) == ("running", 0)
        refused(ask("GET", f"{JOBS}/{other.id}/file"), "the job is running, 0 of", 409)
        with pytest.raises(JobRunning), store.execute(other):
            pass
        raise Interrupted


# What ends it


def test_a_killed_command_goes_on_where_it_was(trained_copy: Home, tmp_path: Path) -> None:
    child = (
        "import sys\nfrom pathlib import Path\nfrom core.home import Home\n"
        "from records import job_parts, score_jobs\n"
        "from serving.score_jobs.to_file import score_everyone\nscore_jobs.CHUNK = 50\n"
        "real = job_parts.write\n"
        "def write_part(store, job, chunk, *given):\n    real(store, job, chunk, *given)\n"
        "    if chunk >= 3:\n        import os, signal\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "job_parts.write = write_part\n"
        "score_everyone(Home(Path(sys.argv[1])), Path(sys.argv[2]), ['clv', 'churn'])\n"
    )
    out = tmp_path / "scores.parquet"
    command = [sys.executable, "-c", child, str(trained_copy.path), str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    (job,) = ScoreJobStore(trained_copy).list_jobs()
    assert job.status == "interrupted"
    assert not out.exists()
    parts = sorted((trained_copy.score_jobs / job.id).glob("part-*.parquet"))
    assert 0 < len(parts) < job.chunks
    assert job.done == 50 * len(parts)
    before = {path: path.stat().st_mtime_ns for path in parts}
    damaged = parts[0]
    damaged.write_bytes(damaged.read_bytes()[:100])  # as a power cut may leave it

    done = score_everyone(trained_copy, out, ["clv", "churn"])
    assert (done["job_id"], done["already_scored"]) == (job.id, job.done)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items() if path != damaged)
    everyone = Identity(trained_copy).table()["customer_id"].to_pylist()
    assert pq.read_table(out)["customer_id"].to_pylist() == everyone
    assert [each.status for each in ScoreJobStore(trained_copy).list_jobs()] == ["done"]
    again = score_everyone(trained_copy, out, ["clv", "churn"])
    assert again["job_id"] != job.id
    once_more = tmp_path / "once-more.csv"
    assert score_everyone(trained_copy, once_more, [], job_id=job.id)["already_scored"] == job.total
    assert len(once_more.read_text().splitlines()) == 1 + len(everyone)


def test_a_service_goes_on_with_its_job_by_the_versions_that_it_began_with(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begun(trained_copy, origin=SERVICE, caller="crm")
    theirs = begun(trained_copy)
    with monkeypatch.context() as patch:
        stopping_after(patch, 2, Interrupted())
        execute(trained_copy, job)
    result = ScoreJobStore(trained_copy).find(job.id)
    assert result is not None
    assert (result.status, result.done) == ("interrupted", 200)
    registry = Registry(trained_copy)
    (source,) = registry.mlflow.client.search_model_versions("name = 'clv'")
    registry.mlflow.client.create_model_version("clv", source.source, source.run_id, tags=dict(source.tags))
    registry.promote("clv", "2", "tests", "another version answers")

    with service(trained_copy) as ask:
        given_value = ended(ask, job.id, ("interrupted", "running"))  # a moment passes until it is taken up
        assert (given_value["status"], given_value["started_by"], given_value["done"]) == (
            "done",
            "crm",
            given_value["total"],
        )
        assert given_value["models"] == dict.fromkeys(MODELS, "1")
        table = pq.read_table(io.BytesIO(file(ask, job.id, "parquet").content))
        assert set(table["clv_version"].to_pylist()) == {"1"}
        assert len(set(table["customer_id"].to_pylist())) == given_value["total"]
        assert ask("GET", f"{JOBS}/{theirs.id}").json()["status"] == "interrupted"  # the command's own


def test_a_job_that_is_stopped_ends_after_its_chunk_and_for_good(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., None]
) -> None:
    real = job_parts.write

    def slow(store: ScoreJobStore, job: ScoreJob, *given: Any) -> None:
        real(store, job, *given)
        store.stop(job)  # as another process would

    monkeypatch.setattr(job_parts, "write", slow)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with service(trained_copy) as ask:
        body = ended(ask, ask("POST", JOBS, json={}).json()["job_id"])
        assert (body["status"], body["done"]) == ("stopped", 100)
        refused(ask("GET", f"{JOBS}/{body['job_id']}/file"), "the job is stopped, 100 of", 409)
        waiting = begun(trained_copy)
        assert ask("POST", f"{JOBS}/{waiting.id}/stop").json()["status"] == "stopped"
        assert ask("GET", f"{JOBS}/{waiting.id}").json()["status"] == "stopped"


def test_a_job_that_fails_says_why(trained_copy: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("records.job_worker._log.error", lambda *_: None)
    with service(trained_copy) as ask:
        trained_copy.online_file.rename(trained_copy.path / "away")
        body = ended(ask, ask("POST", JOBS, json={}).json()["job_id"])
        assert body["status"] == "failed"
        assert body["error"] == f"the online store {trained_copy.online_file} is missing; run `patron build`"


def test_the_oldest_jobs_make_room_but_for_the_one_that_goes_on(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScoreJobStore, "max_jobs", 3)
    store = ScoreJobStore(trained_copy)
    keys = np.arange(1, 6)
    at = trained_copy.shop().now()

    def made() -> ScoreJob:
        models = {"clv": "1"}
        job = ScoreJob(at=at, segment=None, origin=COMMAND, caller=None, models=models, absent={})
        return store.create(job, [keys])

    first = made()
    with store.execute(first):
        made_later = [made() for _ in range(5)]
    remaining = {job.id for job in ScoreJobStore(trained_copy).list_jobs()}
    assert remaining == {first.id, *(job.id for job in made_later[-3:])}


def test_the_first_job_of_each_month_stays(trained_copy: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScoreJobStore, "max_jobs", 2)
    monkeypatch.setattr(ScoreJobStore, "max_months", 3)
    store, now = ScoreJobStore(trained_copy), trained_copy.shop().now()
    fields: dict[str, Any] = {"origin": COMMAND, "caller": None, "models": {"clv": "1"}, "absent": {}}

    def made(days: int, status: str = "done", segment: str | None = None) -> str:
        at = now.replace(day=1) + timedelta(days=days)
        return store.create(ScoreJob(at=at, segment=segment, status=status, **fields), [np.arange(1, 6)]).id

    jobs = [made(days) for days in (0, 5, 40, 50, 70)]
    failed, part = made(101, status="failed"), made(102, segment="value_tier:A")
    jobs += [made(days) for days in (103, 110, 112)]
    remaining = {job.id for job in store.list_jobs()}
    assert remaining == {jobs[2], jobs[4], jobs[5], *jobs[-2:]}
    assert not {failed, part} & remaining


# The log


def test_the_log_has_the_last_answer_of_a_customer_and_day_whichever_way_it_was_given(
    trained_copy: Home,
) -> None:
    everyone = Identity(trained_copy).table()["customer_id"].to_pylist()
    now = trained_copy.shop().now()
    earlier, later = everyone[:20], everyone[20:50]
    with service(trained_copy) as ask:
        ask("POST", "/v1/scores", json={"customer_ids": earlier, "models": ["clv"]})
    single = logs.read(trained_copy, now, now, lake.connect())
    execute(trained_copy, begun(trained_copy))
    with service(trained_copy) as ask:
        ask("POST", "/v1/scores", json={"customer_ids": later, "models": ["clv"]})
    result = logs.read(trained_copy, now, now, lake.connect())
    assert (single.answers, result.answers, result.lost) == (20, 50 + len(everyone), 0)
    vectors = result.vectors.to_pandas().set_index("customer_key")
    assert len(vectors) == len(everyone)
    logged = {name for name in vectors if name.startswith("clv.")}
    assert logged == {"clv.score", "clv.version", "clv.low", "clv.high"}
    keys = Identity(trained_copy).keys(everyone)
    by_api = vectors.loc[[keys[customer] for customer in later]]
    assert by_api["churn.version"].isna().all()
    rest = vectors.drop(by_api.index)
    assert set(rest["churn.version"]) == set(rest["clv.version"]) == {"1"}
    for _, row in single.vectors.to_pandas().iterrows():
        assert row.drop("customer_key").dropna().to_dict() == {
            name: rest.loc[row["customer_key"], name] for name in row.drop("customer_key").dropna().index
        }
    outside = logs.read(trained_copy, now + timedelta(seconds=1), now + timedelta(days=1), lake.connect())
    assert (outside.answers, len(outside.vectors.to_pandas())) == (0, 0)
    parts = b"".join(path.read_bytes() for path in trained_copy.score_jobs.rglob("*") if path.is_file())
    assert everyone[0].encode() not in parts  # customers are named by key only


# Who there is


def test_everybody_is_who_has_an_id_once_and_by_name(empty_home: Home) -> None:
    identity = Identity(empty_home)
    identity.assign(["a", "b", f"{ANONYMOUS}c", "\N{SNOWMAN}\"'\\", "e"])
    with identity._open().writing() as connection:
        join(connection, "a", "b", 5, 1)
        join(connection, f"{ANONYMOUS}c", f"{ANONYMOUS}d", 6, 2)
    for at_once in (1, 2, 100):
        assert np.concatenate([*identity.everyone(at_once)]).tolist() == [2, 3, 4, 5]
    expected = {1: "a", 2: "b", 3: f"{ANONYMOUS}c", 4: "\N{SNOWMAN}\"'\\", 5: "e"}
    assert identity.names(np.arange(1, 7)).to_pylist() == [*expected.values(), None]
    assert identity.names(np.array([2, 900])).to_pylist() == ["b", None]
    assert identity.names(np.array([800, 900])).to_pylist() == [None, None]
