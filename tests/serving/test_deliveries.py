"""Deliveries: a run a day, put into a folder or sent, and continued where a failed one stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from decisions.catalogue.actions import EXAMPLE
from records.deliveries import due, settings
from serving.decisions import deliveries
from serving.files import webhook
from serving.files.webhook import Undeliverable
from serving.operations import deliveries as doctor

SECRET = "0123456789abcdef"


def write(home: Home, **sections: str) -> None:
    """Write the deliveries of a home; its clock becomes that of a live shop that stands at its last day."""
    home.actions.write_bytes(EXAMPLE.read_bytes())
    text = "\n".join(f'[{name}]\nat = "00:00"\n{lines}\n' for name, lines in sections.items())
    settings.settings_file(home).write_text(text, encoding="utf-8")


def test_a_file_of_the_day_is_put_into_a_folder_once(trained_copy: Home, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    write(trained_copy, crm=f'segment = "country:AT"\nfor = "dynamics"\nfolder = "{folder}"\nmode = "640"')
    (result,) = deliveries.deliver_due(trained_copy)
    assert f"there is no folder {folder}; make it first" in result["error"]
    assert deliveries.deliver_due(trained_copy) == []  # it waits
    folder.mkdir()
    result = deliveries.deliver(trained_copy, settings.find(trained_copy, "crm"))
    day = "2024-07-01"
    assert result["files"] == [f"crm-{day}.csv"]
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o640
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith('"Patron Customer ID"')
    assert len(lines) - 1 == result["customers"] > 10
    state = due.states(trained_copy)["crm"]
    assert (state.day, state.done, state.failures, state.error) == (day, True, 0, None)
    assert deliveries.deliver_due(trained_copy) == []
    assert [check.state for check in doctor.check(trained_copy)] == ["ok"]
    shop = trained_copy.shop()
    trained_copy.write_shop(replace(shop, clock=Clock(shop.now().replace(day=2))))
    (result,) = deliveries.deliver_due(trained_copy)
    assert result["files"] == ["crm-2024-07-02.csv"]


def test_a_webhook_that_fails_half_way_continues_with_the_same_files(
    trained_copy: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = 'file = "ndjson"\nwebhook = "https://crm.example/in/token"\nsecret_env = "CRM_SECRET"'
    write(trained_copy, crm=lines + '\nsegment = "country:DE"\nonly_actions = true')
    with pytest.raises(PatronError, match="set the environment variable CRM_SECRET"):
        deliveries.deliver(trained_copy, settings.find(trained_copy, "crm"))
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setattr(deliveries, "WEBHOOK_MB", 0.01)
    sent: list[tuple[str, bytes]] = []
    working = False

    def post(address: str, body: bytes, media: str, secret: bytes, key: str, headers: Any) -> None:
        if len(sent) == 1 and not working:
            raise Undeliverable("crm.example cannot be reached, 4 times")
        assert (address, secret) == ("https://crm.example/in/token", SECRET.encode())
        sent.append((key, body))

    monkeypatch.setattr(webhook, "post", post)
    delivery = settings.find(trained_copy, "crm")
    with pytest.raises(PatronError, match="cannot be reached"):
        deliveries.deliver(trained_copy, delivery)
    (check,) = doctor.check(trained_copy)
    assert check.state == "warning"
    assert "token" not in check.result
    state = due.states(trained_copy)["crm"]
    assert (state.sent, state.done, state.error) == (1, False, "crm.example cannot be reached, 4 times")
    working = True
    result = deliveries.deliver(trained_copy, delivery)
    assert result["run_id"] == state.run_id
    assert [key for key, _ in sent] == [f"{state.run_id}-{n}" for n in range(1, len(result["files"]) + 1)]
    assert all(len(body) <= 10_000 for _, body in sent)
    assert len(sent) > 1
    rows = [json.loads(line) for _, body in sent for line in body.decode().splitlines()]
    assert len({row["customer_id"] for row in rows}) == len(rows)
    assert "nothing" not in {row["action"] for row in rows}
    assert SECRET not in due.state_file(trained_copy).read_text()
