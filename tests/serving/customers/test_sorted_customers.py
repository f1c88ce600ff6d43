"""Lists of customers in the order of scores, by the newest score job of all customers."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from python_calamine import CalamineWorkbook

from core.home import Home
from events.identity import Identity
from features.offline.current import members
from models.questions import MODELS
from records import ScoreLog
from records.job import COMMAND, Segment
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.access.keys import Keys
from serving.app import create_app
from serving.customers.score_order import Sort
from serving.http.problems import Unprocessable
from serving.score_jobs.scoring import create_job, score_job
from serving.scores.scorer import open_scorer

LIST = "/v1/customers"


def scored(home: Home, segment: Segment = None) -> tuple[ScoreJob, pa.Table]:
    """A finished score job and its rows."""
    champions = open_scorer(home, None).champions
    store = ScoreJobStore(home)
    job = create_job(store, champions, list(MODELS), segment=segment, origin=COMMAND)
    with store.execute(job):
        score_job(store, job, champions, threads=1)
    return job, pa.concat_tables([pq.read_table(store.part(job, chunk)) for chunk in range(job.chunks)])


def expected(rows: pa.Table, factors: list[str], descending: bool) -> list[tuple[int, float]]:
    """Keys and values in order, computed in plain Python."""
    table = rows.to_pydict()
    values = [
        (key, float(np.prod([table[f"{name}.score"][i] for name in factors])))
        for i, key in enumerate(table["customer_key"])
        if all(table[f"{name}.score"][i] is not None for name in factors)
    ]
    return sorted(values, key=lambda pair: (-pair[1] if descending else pair[1], pair[0]))


def test_customers_are_sorted_by_scores_and_products_page_by_page(
    trained_copy: Home, answering: Any, refused: Any
) -> None:
    table = Identity(trained_copy).table().to_pydict()
    ids = dict(zip(table["customer_key"], table["customer_id"], strict=True))
    with answering(trained_copy) as get:
        refused(get(LIST, params={"sort": "clv"}), "run `patron score --out FILE`", 404)
        _, rows = scored(trained_copy)
        inside = set(members(trained_copy, ["country:DE"]).tolist())
        for sort, factors in (
            ("clv", ["clv"]), ("-clv", ["clv"]), ("-churn*clv", ["churn", "clv"]),
            ("-revenue_at_risk", ["churn", "clv"]),
        ):  # fmt: skip
            order = expected(rows, factors, sort.startswith("-"))
            assert len(order) > 0
            for segment in ([], ["country:DE"]):
                wanted = [(ids[key], value) for key, value in order if not segment or key in inside]
                read: list[Any] = []
                cursor: dict[str, str] = {}
                while True:
                    request = {"sort": sort, "limit": 97, "segment": segment} | cursor
                    page = get(LIST, params=request).json()
                    assert page["total"] == len(wanted)
                    read += [(c["customer_id"], c["value"]) for c in page["customers"]]
                    if page["next_cursor"] is None:
                        break
                    cursor = {"cursor": page["next_cursor"]}
                assert [name for name, _ in read] == [name for name, _ in wanted]
                assert [value for _, value in read] == pytest.approx([value for _, value in wanted])
        files = {
            kind: get(LIST, params={"sort": sort, "segment": segment, "format": kind}).content
            for kind in ("parquet", "xlsx")
        }
        head, *lines = (
            CalamineWorkbook.from_filelike(io.BytesIO(files["xlsx"])).get_sheet_by_index(0).to_python()
        )
        assert head[:2] == ["customer_id", "value"]
        assert [line[:2] for line in lines] == [[name, pytest.approx(value)] for name, value in wanted]
        assert pq.read_table(io.BytesIO(files["parquet"]))["customer_id"].to_pylist() == [
            n for n, _ in wanted
        ]
        refused(get(LIST, params={"format": "csv"}), "files are of sorted lists; add sort")


def test_pages_follow_the_job_of_the_first_and_jobs_of_a_segment_do_not_count(
    trained_copy: Home, answering: Any, refused: Any
) -> None:
    job, rows = scored(trained_copy)
    scored(trained_copy, "country:DE")
    with answering(trained_copy) as get:
        first = get(LIST, params={"sort": "-clv", "limit": 3}).json()
        assert first["total"] == len(expected(rows, ["clv"], True))
        assert first["scores_as_of"] == job.at.isoformat().replace("+00:00", "Z")
        following = {"sort": "-clv", "limit": 3, "cursor": first["next_cursor"]}
        newer, _ = scored(trained_copy)
        second = get(LIST, params=following).json()
        both = get(LIST, params={"sort": "-clv", "limit": 6}).json()
        assert first["customers"] + second["customers"] == both["customers"]
        refused(get(LIST, params=following | {"sort": "clv"}), "cursor: it is of a list with another sort")
        refused(get(LIST, params={"cursor": first["next_cursor"]}), "cursor: this is not one that")
        ScoreJobStore(trained_copy).delete(job.id)
        refused(get(LIST, params=following), "cursor: its scores were deleted since")
        assert newer.id != job.id
        plain = get(LIST, params={"limit": 1}).json()
        assert "scores_as_of" not in plain
        assert "value" not in plain["customers"][0]


def test_a_wrong_sort_is_refused_with_the_scores_that_there_are(get: Any, refused: Any) -> None:
    refused(get(LIST, params={"sort": "-margin"}), "no score 'margin'; there are churn, clv")
    for sort in ("", "-", "clv,churn", "clv**churn", "--clv", "clv*", "-Clv", "clv desc"):
        refused(get(LIST, params={"sort": sort}), "sort: a score, or scores joined by *")
    refused(get(LIST, params={"sort": "*".join(["clv"] * 6)}), "at most 5 scores")


def test_the_factors_of_a_product_have_no_order() -> None:
    there = {"churn", "clv"}
    assert Sort.parse("-clv*churn", there) == Sort.parse("-revenue_at_risk", there)
    assert Sort.parse("clv", there) != Sort.parse("-clv", there)
    with pytest.raises(Unprocessable, match="no score 'churn'; there are clv, revenue_at_risk"):
        Sort.parse("revenue_at_risk*churn", {"clv"})


def test_a_sorted_list_needs_the_scope_of_scores(trained_copy: Home, refused: Any) -> None:
    keys = Keys(trained_copy)
    _, secret = keys.create("lists", ["customers"])
    with ScoreLog(trained_copy) as log:
        app = create_app(open_scorer(trained_copy, log), log, keys=keys, keys_needed=True)

        async def ask() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            headers = {"authorization": f"Bearer {secret}"}
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://patron", headers=headers) as client,
            ):
                return [await client.get(LIST), await client.get(LIST, params={"sort": "clv"})]

        plain, by_score = asyncio.run(ask())
    assert plain.status_code == 200
    refused(by_score, "sort needs the scope scores", 403)
