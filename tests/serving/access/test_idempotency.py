"""Idempotency keys: sent again, a request returns its job; two at once start one; on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import HTTPException
from pydantic import BaseModel

from core.home import Home
from core.storage.database import Database
from records.requests.idempotency import LEASE_S, LIFETIME, IdempotencyKeys, RequestKey
from serving.access import idempotency
from serving.access.authentication import ANONYMOUS, Caller
from serving.access.idempotency import Idempotency

ROOT = Path(__file__).parents[3]
CRM, SHOP = (Caller(name, frozenset({"scores"})) for name in ("crm", "shop"))


class Request(BaseModel):
    segment: str | None = None


class Jobs:
    """Jobs in memory, whose creation can wait or fail."""

    def __init__(self, home: Home) -> None:
        self.now = 1_000_000.0
        self.created: list[str] = []
        self.error: Exception | None = None
        self.creating, self.may_create = threading.Event(), threading.Event()
        self.may_create.set()
        self.starts = Idempotency(IdempotencyKeys(Database(home), lambda: self.now))

    def create(self, job_id: str) -> str:
        self.creating.set()
        assert self.may_create.wait(60)
        if self.error is not None:
            raise self.error
        self.created.append(job_id)
        return job_id

    def start(
        self, key: str | None, segment: str | None = None, caller: Caller = CRM, operation: str = "start"
    ) -> str:
        return self.starts.start(
            Request(segment=segment), key=key, caller=caller, operation=operation,
            find=lambda job_id: job_id if job_id in self.created else None, create=self.create,
        )  # fmt: skip


@pytest.fixture
def jobs(empty_home: Home) -> Jobs:
    return Jobs(empty_home)


def test_the_same_request_with_the_same_key_returns_the_same_job(jobs: Jobs) -> None:
    first = jobs.start("a")
    assert jobs.start("a") == jobs.start('"a"') == first  # the draft writes keys in quotes
    assert jobs.created == [first]
    assert jobs.start("b") != first
    assert jobs.start(None) != jobs.start(None)


def test_another_request_with_the_key_is_refused(jobs: Jobs) -> None:
    first = jobs.start("a", "country:DE")
    with pytest.raises(HTTPException, match="another request; use a new key") as refused:
        jobs.start("a", "country:FR")
    assert refused.value.status_code == 422
    assert jobs.created == [first]


def test_a_key_is_its_callers_and_its_operations(jobs: Jobs) -> None:
    started = [
        jobs.start("a", caller=caller, operation=operation)
        for caller in (CRM, SHOP, ANONYMOUS)
        for operation in ("score", "recommend")
    ]
    assert len(set(started)) == 6


def test_a_request_that_started_nothing_can_be_sent_again_with_its_key(jobs: Jobs) -> None:
    jobs.error = HTTPException(409, "another job is running")
    for _ in range(2):
        with pytest.raises(HTTPException, match="another job"):
            jobs.start("a")
    jobs.error = None
    assert jobs.start("a") == jobs.start("a")


def test_a_key_is_forgotten_after_a_day(jobs: Jobs) -> None:
    first = jobs.start("a")
    jobs.now += LIFETIME.total_seconds() - 1
    assert jobs.start("a") == first
    jobs.now += timedelta(seconds=2).total_seconds()
    assert jobs.start("a", "another") != first


def test_a_job_that_was_deleted_is_not_started_again(jobs: Jobs) -> None:
    jobs.start("a")
    jobs.created.clear()
    with pytest.raises(HTTPException, match="no longer kept") as refused:
        jobs.start("a")
    assert refused.value.status_code == 409


def test_of_many_at_once_one_starts_the_job_and_all_return_it(jobs: Jobs) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: jobs.start("a"), range(8)))) == 1
    assert len(jobs.created) == 1


def test_while_the_first_is_still_being_answered_the_next_is_to_try_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_S", 0.2)
    jobs.may_create.clear()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(jobs.start, "a")
        assert jobs.creating.wait(60)
        with pytest.raises(HTTPException, match="still being answered") as refused:
            jobs.start("a")
        assert (refused.value.status_code, refused.value.headers) == (409, {"Retry-After": "1"})
        jobs.may_create.set()
        assert jobs.start("a") == first.result()


@pytest.mark.parametrize("created", [False, True])
def test_after_its_process_was_killed_the_next_request_goes_on_with_the_same_job(
    created: bool, jobs: Jobs, empty_home: Home
) -> None:
    keys = IdempotencyKeys(Database(empty_home), lambda: jobs.now)
    digest = idempotency.sha256(Request().model_dump_json().encode()).digest()
    killed = keys.reserve(RequestKey("crm", "start", "a", digest))
    assert killed.mine
    if created:  # but not recorded
        jobs.created.append(killed.job_id)
    else:
        jobs.now += LEASE_S + 1
    assert jobs.start("a") == jobs.start("a") == killed.job_id
    assert jobs.created == [killed.job_id]


PROCESS = """
import sys, time
from pathlib import Path
from pydantic import BaseModel
from core.home import Home
from core.storage.database import Database
from records.requests.idempotency import IdempotencyKeys
from serving.access.authentication import ANONYMOUS
from serving.access.idempotency import Idempotency
class Request(BaseModel): pass
home = Home(Path(sys.argv[1]), sys.argv[2] or None)
folder = home.path / "jobs"
def create(job_id):
    (folder / job_id).touch(exist_ok=False)
    return job_id
starts = Idempotency(IdempotencyKeys(Database(home)))
print("ready", flush=True)
sys.stdin.readline()
for n in range(20):
    print(starts.start(Request(), key=str(n), caller=ANONYMOUS, operation="start",
          find=lambda job_id: job_id if (folder / job_id).exists() else None, create=create))
"""


def test_two_processes_start_each_job_once(empty_home: Home) -> None:
    Database(empty_home).prepare()
    (empty_home.path / "jobs").mkdir(parents=True)
    command = [sys.executable, "-c", PROCESS, str(empty_home.path), empty_home.database or ""]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    one, other = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert one == other
    assert len(one) == len({*one}) == 20
    assert {path.name for path in (empty_home.path / "jobs").iterdir()} == {*one}
