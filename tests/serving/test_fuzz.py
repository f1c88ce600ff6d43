"""Requests made from the API's own description, a few; `python -m torture.fuzz` asks thousands."""

from __future__ import annotations

from core.home import Home
from torture import fuzz


def test_nothing_undocumented_is_answered_and_nothing_ill_formed_accepted(open_shop: Home) -> None:
    with fuzz.serving(open_shop) as (app, key):
        result = fuzz.fuzz(app, key, examples=2, seed=1)
    assert not result.wrong, "\n".join(result.wrong)
    assert {"examples", "coverage", "fuzzing", "stateful"} <= set(result.cases)
    assert all(result.cases.values())
