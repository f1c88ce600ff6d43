"""The console loads after the start what its pages read, without a trace, and stops when the service ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from console import warm_up
from console.warm_up import WarmUp
from core.home import Home
from core.storage.database import Database
from records.audit.log import AuditLog
from records.tables import decisions
from serving.http.services import Services, services_of


@pytest.fixture
def home(console_home: Home, copy_home: Callable[[Home], Home]) -> Home:
    return copy_home(console_home)


@pytest.fixture
def services(home: Home, open_local: Callable[[Home], Any]) -> Services:
    return services_of(open_local(home).app)


def test_all_pages_of_the_menu_are_loaded_and_nothing_is_written(
    home: Home, services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    until: Callable[[Callable[[], bool]], None],
) -> None:  # fmt: skip
    def written() -> tuple[object, object]:
        with Database(home).reading() as connection:
            decided = connection.execute(sa.select(sa.func.count()).select_from(decisions)).scalar()
        return decided, AuditLog(home).newest(1)

    monkeypatch.setattr(warm_up, "RESTS", 0)
    before, warming = written(), WarmUp(services, delay_s=0.0)
    with caplog.at_level("DEBUG", "console.warm_up"):
        warming.start()
        until(lambda: "were loaded" in caplog.text)
    warming.close()
    failed = [record.args[0] for record in caplog.records if "not loaded" in record.getMessage()]
    assert failed == ["results"]  # of which there are none yet
    assert written() == before


def test_the_end_of_the_service_ends_it(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    warming = WarmUp(services, delay_s=600.0)
    with caplog.at_level("DEBUG", "console.warm_up"):
        warming.start()
        warming.close()
    assert caplog.text == ""
