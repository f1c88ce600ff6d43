"""The page of results shows the numbers of the API, and says why there are none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest

from benchmarks.decisions.known_effect import make
from console.words.messages import Translator
from core.home import Home
from decisions.results import report

ConsoleOver = Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("results") / "home")
    make(home, 1, 1000)
    return home


def test_results_are_those_of_the_api_in_both_languages(home: Home, console_over: ConsoleOver) -> None:
    with console_over(home) as ask:
        missing = ask("/console/results")
        assert missing.status_code == 200
        assert "patron results" in missing.text
        report.update(home)
        stored = ask("/v1/results").json()
        english = ask("/console/results").text
        chinese = ask("/console/results", headers={"accept-language": "zh"}).text
    for language, page in (("en", english), ("zh", chinese)):
        words = Translator("zh" if language == "zh" else "en", "UTC", stored["currency"])
        assert stored["words"][language] in page
        margin = stored["programme"]["net_margin"]
        for value in (margin["estimate"], margin["low"], stored["programme"]["incremental_margin"]):
            assert words.money(value) in page
        (offer,) = stored["actions"]
        assert offer["words"][language] in page
        assert words.number(offer["conversions"]) in page
        assert all(month["words"][language] in page for month in stored["months"])
        assert ('class="whisker"' in page) == any(month["net_margin"] for month in stored["months"])


def test_results_that_cannot_be_told_say_why(
    console_over: ConsoleOver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("few") / "home")
    make(home, 5, 40)
    report.update(home)
    with console_over(home) as ask:
        page = ask("/console/results").text
    assert "cannot tell yet, because" in page
