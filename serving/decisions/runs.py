"""Runs: a decision for everybody in a segment, in the background of the service or from the command line."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from core.errors import PatronError
from core.progress import Progress, silent
from decisions.actions import Actions
from decisions.reasons import Language
from records import runs
from records.decisions import Question
from serving.decisions.decider import Decider

BATCH = 25  # so few that a request of the API does not wait long for the store
_log = logging.getLogger(__name__)


class RunGoesOn(PatronError):
    """There is a run already."""


class Runs:
    """The runs that this process carries out, one at a time."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._going_on = ""

    def start(
        self, segment: str | None, channels: Sequence[str] | None, language: Language, caller: str
    ) -> str:
        """Begin a run; returns its id as soon as its customers are known.

        Raises:
            RunGoesOn: another one is not done yet.
            Unprocessable: there is no such segment or channel.
            PatronError: the actions or a store cannot be used.
        """
        with self._starting:
            rules = self._decider.rules()
            question = self._decider.question(rules, channels, caller)
            customers = self._decider.segment(segment)
            if self._thread is not None and self._thread.is_alive():
                raise RunGoesOn(
                    f"the run {self._going_on} goes on, and there is one at a time; ask again when it is done"
                )
            run = ExitStack()
            began = runs.running(self._decider.log, question, segment, language, len(customers))
            question = run.enter_context(began)
            assert question.run_id is not None
            self._going_on = question.run_id
            work = (run, customers, question, rules)
            self._thread = threading.Thread(target=self._carry_out, args=work, name="run", daemon=True)
            self._thread.start()
            return self._going_on

    def stop(self) -> None:
        """End the run that goes on, if there is one; it is then interrupted."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _carry_out(
        self, run: ExitStack, customers: Mapping[int, str], question: Question, rules: Actions
    ) -> None:
        try:
            with run:
                decide_all(self._decider, customers, question, rules, stop=self._stop)
        except PatronError as error:
            _log.error("run %s failed: %s", question.run_id, error)
        except Exception as error:
            _log.error("run %s failed: unexpected %s", question.run_id, type(error).__name__)


def decide_all(
    decider: Decider,
    customers: Mapping[int, str],
    question: Question,
    rules: Actions,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> None:
    """Decide for customers in small batches, in order.

    Raises:
        Stopped: ``stop`` was set.
        PatronError: a store is missing or unreadable.
    """
    keys = list(customers)
    for start in range(0, len(keys), BATCH):
        if stop is not None and stop.is_set():
            raise runs.Stopped
        progress("deciding", start / len(keys))
        batch = {key: customers[key] for key in keys[start : start + BATCH]}
        now = replace(question, at=decider.scorer.shop.now())
        decider.decide(batch, now, rules, "bulk")
        if decider.scorer.log is not None:
            decider.scorer.log.wait()
    progress("deciding", 1.0)
