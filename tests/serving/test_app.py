"""How the application closes its services."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, cast

import pytest

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage import duckdb_engine
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import Prediction, ScoreLog, read
from serving.access.keys import Keys
from serving.access.limits import Limits
from serving.app import create_app
from serving.scores.scorer import Scorer

AT = datetime(2024, 5, 4, 22, 30, tzinfo=UTC)
PREDICTION = Prediction(
    AT, day_of(AT, "Europe/Berlin"), 1, AT, "api", ("orders",), [3], {"churn": {"version": "1", "score": 0.4}}
)


@pytest.mark.parametrize("error", [PatronError("the disk is full"), RuntimeError("customer C000001")])
def test_queued_predictions_are_written_even_if_a_service_fails_to_close(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    home = Home(tmp_path / "home")
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock(None)))
    closed: list[str] = []

    def fail() -> NoReturn:
        raise error

    scorer = SimpleNamespace(
        home=home, identity=Identity(home), shop=home.shop(), freshness=FreshnessMonitor(home), close=fail
    )
    keys = SimpleNamespace(close=lambda: closed.append("keys"))
    limits = SimpleNamespace(close=lambda: closed.append("limits"))
    log = ScoreLog(home)
    app = create_app(cast(Scorer, scorer), log, keys=cast(Keys, keys), limits=cast(Limits, limits))

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            log.put([PREDICTION])

    with caplog.at_level(logging.ERROR, "serving.app"):
        asyncio.run(serve())
    assert read(home, AT, AT, duckdb_engine.connect(home.path)).answers == 1
    assert sorted(closed) == ["keys", "limits"]
    why = "the disk is full" if isinstance(error, PatronError) else "unexpected RuntimeError"
    assert caplog.messages == [f"the scorer could not be closed: {why}"]
