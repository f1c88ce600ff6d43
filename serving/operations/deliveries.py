"""The doctor's check of deliveries: their settings, and what came of the last ones."""

from __future__ import annotations

from collections.abc import Iterator

from core.home import Home
from records.deliveries import due, settings
from serving.operations.checks import FAILED, OK, WARNING, Check


def check(home: Home) -> Iterator[Check]:
    """Each delivery of ``deliveries.toml``; addresses are shown without paths, and secrets not at all."""
    states = due.states(home)
    for name, delivery in settings.load(home).items():
        part, state = f"delivery {name}", states.get(name)
        if delivery.webhook is not None:
            delivery.secret()
        if delivery.folder is not None and not delivery.folder.is_dir():
            yield Check(part, FAILED, f"there is no folder {delivery.folder}", "make it")
        elif state is None:
            yield Check(part, OK, f"to {delivery.place} at {delivery.at:%H:%M}; not delivered yet")
        elif state.failures:
            yield Check(part, WARNING, f"failed {state.failures} times on {state.day}: {state.error}")
        else:
            yield Check(part, OK, f"to {delivery.place} at {delivery.at:%H:%M}; last on {state.day}")
