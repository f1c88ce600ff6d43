"""Loads after the start what first visitors would wait for: modules, templates, columns of all customers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams

from console.navigation import PAGES
from console.page import Visit
from console.rendering import environment
from console.words.messages import Translator
from console.words.sentences import templates
from core.errors import in_words
from features.offline.current import load_current
from serving.access.authentication import ANONYMOUS
from serving.decisions.decider import Decider
from serving.http.services import Services, services_of
from serving.scores.scorer import Scorer

DELAY_S = 1.0
"""Seconds after the start before anything is loaded."""
RESTS = 3
"""Times as long as a page took to load, the thread rests after it, so that scores have the processor."""
MAX_S = 120.0
"""Seconds after which the rest is left to the visitors."""
QUERIES: Mapping[str, tuple[str, ...]] = {"customers": ("", "sort=-revenue_at_risk", "sort=-clv")}
"""By page the queries that read more than the page without one."""
_log = logging.getLogger(__name__)


class WarmUp:
    """Loads once what pages read, in a thread that rests most of the time."""

    def __init__(self, services: Services, delay_s: float = DELAY_S) -> None:
        self._services, self._delay_s = services, delay_s
        self._home = services[Scorer].home
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._load_all, name="warm-up", daemon=True)

    def start(self) -> None:
        """Begin after the delay."""
        self._thread.start()

    def close(self) -> None:
        """Leave the rest, and wait for what is being loaded."""
        self._stopped.set()
        self._thread.join()

    def _load_all(self) -> None:
        began_s, pause_s = time.monotonic(), self._delay_s
        for name, load in self._steps():
            if self._stopped.wait(pause_s) or time.monotonic() - began_s > MAX_S:
                return
            step_began_s = time.monotonic()
            try:
                load()
            except Exception as error:  # the page says it to its visitors
                _log.debug("%s: not loaded: %s", name, in_words(error))
            pause_s = RESTS * (time.monotonic() - step_began_s)
        _log.debug("the pages of the console were loaded in %.0f s", time.monotonic() - began_s)

    def _steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "sentences", templates
        shop = self._home.shop()
        for page in PAGES:
            yield page.name, partial(environment().get_template, f"{page.name}.html")
        words = Translator("en", shop.time_zone, shop.currency)
        for page in (page for page in PAGES if page.in_menu):
            for query in QUERIES.get(page.name, ("",)):
                visit = Visit(
                    self._home, self._services, ANONYMOUS, False, False, words, {}, QueryParams(query)
                )
                yield page.name, partial(page.load, visit)
        yield "decisions", self._decide

    def _decide(self) -> None:
        """Read what decisions read of all customers, such as consents; nothing is logged."""
        decider = self._services[Decider]
        rules = decider.rules()
        customers = decider.scorer.identity.ids(load_current(self._home).keys[:1].tolist())
        decider.preview(customers, decider.question(rules, None, "console"), rules)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Warm up while the application answers."""
    warm_up = WarmUp(services_of(app))
    warm_up.start()
    try:
        yield
    finally:
        await run_in_threadpool(warm_up.close)
