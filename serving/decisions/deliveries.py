"""Deliveries are made: a run is decided once a day, and its files are put into a folder or sent.

What has been done is stored after each step, so that a delivery that failed continues with the same run and
the files that have not arrived; the idempotency keys of its files stay the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.errors import PatronError, in_words
from core.home import Home
from core.progress import Progress, silent
from records import runs
from records.deliveries import due
from records.deliveries.due import DeliveryState
from records.deliveries.settings import Delivery
from records.runs import DecisionRun, RunStore
from serving.decisions.to_file import decide_run, find_layout_of, open_decider, write_run
from serving.files import exports, webhook

WEBHOOK_MB = 5.0
"""The largest file that a webhook gets, in 1,000,000 bytes; receivers limit their requests."""
_log = logging.getLogger(__name__)


def deliver_due(home: Home, progress: Progress = silent) -> list[dict[str, Any]]:
    """Make the deliveries that are due; one that fails does not keep the others back.

    Returns:
        Per delivery its name, and what :func:`deliver` returns or the ``error``.

    Raises:
        PatronError: the settings cannot be understood, or another process makes deliveries.
    """
    results: list[dict[str, Any]] = []
    with due.exclusively(home):
        for delivery in due.due(home):
            try:
                results.append(_deliver(home, delivery, again=False, progress=progress))
            except Exception as error:
                words = in_words(error)
                _log.error("the delivery %s failed: %s", delivery.name, words)
                results.append({"name": delivery.name, "error": words})
    return results


def deliver(home: Home, delivery: Delivery, progress: Progress = silent) -> dict[str, Any]:
    """Make a delivery now; one that was made today is made again, and one that failed continues.

    Returns:
        ``name``, ``run_id``, ``place`` and the number of customers and files.

    Raises:
        PatronError: it failed; says why. Its state is stored.
    """
    with due.exclusively(home):
        return _deliver(home, delivery, again=True, progress=progress)


def _deliver(home: Home, delivery: Delivery, *, again: bool, progress: Progress) -> dict[str, Any]:
    shop = home.shop()
    state = due.today_of(home, delivery.name, shop)
    if again and state.done:
        state = DeliveryState(state.day, shop.now().isoformat())
    try:
        return _attempt(home, delivery, state, progress)
    except Exception as error:
        state = due.today_of(home, delivery.name, shop)
        due.write(home, delivery.name, due.failed(replace(state, done=False), shop.now(), in_words(error)))
        raise


def _attempt(home: Home, delivery: Delivery, state: DeliveryState, progress: Progress) -> dict[str, Any]:
    """Decide, write and put or send; the state is stored after each step."""
    name, out = delivery.name, Path(f"{delivery.name}-{state.day}.{delivery.file}")
    layout = find_layout_of(out, delivery.target, delivery.layout)
    if delivery.folder is not None and not delivery.folder.is_dir():
        raise PatronError(f"deliveries.toml: {name}: there is no folder {delivery.folder}; make it first")
    secret = delivery.secret() if delivery.webhook is not None else b""
    with open_decider(home) as decider:
        run = None if state.run_id is None else RunStore(decider.log).find(state.run_id)
        if run is None or run.status != "done":
            run = decide_run(
                decider, delivery.customers, delivery.channels, delivery.language, progress,
                rule=delivery.rule,
            )  # fmt: skip
            state = replace(state, run_id=run.id, sent=0, error=None)
            due.write(home, name, state)
        if delivery.folder is not None:
            paths = write_run(decider, run, delivery.folder / out, layout, only_actions=delivery.only_actions)
            for path in paths:
                path.chmod(int(delivery.mode, 8))
        else:
            with TemporaryDirectory(prefix="patron-delivery-") as folder:
                paths = write_run(
                    decider, run, Path(folder) / out, layout, only_actions=delivery.only_actions,
                    max_mb=WEBHOOK_MB,
                )  # fmt: skip
                state = _send(home, delivery, run, paths, state, secret)
        runs.release(decider.log, run.id, home.shop().now())  # what was delivered is going to be sent
    at = home.shop().now().isoformat()
    due.write(home, name, replace(state, at=at, sent=len(paths), done=True, failures=0, error=None))
    return {
        "name": name, "run_id": run.id, "place": delivery.place, "customers": run.total,
        "files": [path.name for path in paths],
    }  # fmt: skip


def _send(
    home: Home,
    delivery: Delivery,
    run: DecisionRun,
    paths: Sequence[Path],
    state: DeliveryState,
    secret: bytes,
) -> DeliveryState:
    """Send the files that have not arrived, in order."""
    assert delivery.webhook is not None
    for number, path in enumerate(paths[state.sent :], state.sent + 1):
        webhook.post(
            delivery.webhook, path.read_bytes(), exports.MEDIA_TYPES[delivery.file],  # type: ignore[index]
            secret, f"{run.id}-{number}",
            {
                "Patron-Delivery": delivery.name, "Patron-Run": run.id,
                "Patron-File": f"{number}/{len(paths)}",
            },
        )  # fmt: skip
        state = replace(state, sent=number)
        due.write(home, delivery.name, state)
    return state
