"""The pages of models show what the registry has, and change the champion by forms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx

from console.model_card import sections
from console.words.messages import Translator
from core.home import Home
from features.groups import FEATURES
from models.registry.registry import Registry
from models.registry.versions import TrainingRun

ConsoleOver = Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]
MODEL = "/console/models/churn"


def second_version(home: Home) -> str:
    """Register the champion of churn a second time; returns the version's number."""
    registry = Registry(home)
    files, _ = registry.files("churn", "1")
    run = TrainingRun({}, {"auc": 0.9}, {})
    return registry.publish("churn", files, run, ()).version


def test_a_model_is_promoted_and_rolled_back_by_forms(
    trained_shop: Home,
    copy_home: Callable[..., Home],
    console_over: ConsoleOver,
    signed_in: Callable[..., Callable[..., httpx.Response]],
) -> None:
    home = copy_home(trained_shop)
    version = second_version(home)
    with console_over(home) as ask:
        states = {state["name"]: state for state in ask("/v1/models").json()}
        listed = ask("/console/models").text
        assert all(f"version {state['version']}" in listed for state in states.values())
        page = ask(MODEL).text
        measured = next(v.metrics["auc"] for v in Registry(home).versions("churn") if v.champion)
        assert f"{measured:.3f}".rstrip("0") in page
        assert "<svg" in page
        assert ask(f"{MODEL}?version=99").text.count("no version") == 1

        refused = ask(f"{MODEL}/promote", method="POST", data={"version": version, "why": "x"})
        assert refused.status_code == 403  # nobody is signed in
        send = signed_in(ask, home)

        def change(path: str, **form: str) -> httpx.Response:
            return send(f"{MODEL}/{path}", **form)

        assert "give a reason" in change("promote", version=version, champion="1", why=" ").text
        stale = change("promote", version=version, champion="7", why="better")
        assert (stale.status_code, "changed while" in stale.text) == (409, True)
        done = change("promote", version=version, champion="1", why="<b>better</b>")
        assert (done.status_code, done.headers["location"]) == (303, MODEL)
        assert "&lt;b&gt;better" in send(MODEL).text
        move = Registry(home).promotions("churn")[-1]
        assert (move.before, move.after, move.why) == ("1", version, "<b>better</b>")

        assert change("challenge", version="1", share="10").status_code == 303
        assert "answers 10%" in send(MODEL).text
        assert change("challenge/end", version="1").status_code == 303
        assert "answers 10%" not in send(MODEL).text
        again = change("challenge/end", version="1")
        assert (again.status_code, "does not challenge" in again.text) == (409, True)
        assert change("challenge", version="1", share="x").status_code == 409

        assert change("rollback", champion=version, why="as before").status_code == 303
        assert Registry(home).promotions("churn")[-1].after == "1"


def test_the_card_is_in_the_visitor_s_language(client: httpx.Client) -> None:
    english, chinese = (
        client.get("/console/models/churn", headers={"accept-language": language}).text
        for language in ("en", "zh")
    )
    assert "Score: calibrated probability of no order within 180 days." in english
    assert "评分含义：未来 180 天内不下单（流失）的概率，已校准。" in chinese
    assert "nobody who has no order in the last 180 days" in english
    assert "不包括：近 180 天未下单" in chinese
    for page, unused in ((english, "<td>recency_days</td>"), (chinese, "<td>距上次下单</td>")):
        assert unused in page  # the influence of a feature
        assert "calibration.png" not in page
        assert "```" not in page


def test_a_card_without_sections_or_with_unknown_ones_is_shown_as_it_is() -> None:
    words = Translator("zh", "Europe/Berlin", "EUR")
    assert sections(words, "", FEATURES) == []
    (first, own) = sections(words, "# x\nWhy?\n\n## Own\n- `a`: days\nand more\n- text\n", FEATURES)
    assert (first.title, first.texts) == ("", ["Why?"])
    assert (own.title, own.items, own.features) == ("Own", ["text"], {"a": "days and more"})
