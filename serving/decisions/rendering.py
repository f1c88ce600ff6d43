"""Decisions as JSON for applications, and as rows for marketing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from core.errors import PatronError
from decisions.catalogue.actions import NOTHING
from decisions.catalogue.texts import filled_text, names_in, offered, texts
from decisions.reasons import DecisionReason, Language
from events.identity import Identity
from records import runs
from records.decision import Decision
from records.decisions import DecisionLog
from records.runs import DecisionRun
from serving.access.authentication import Caller
from serving.access.scopes import Scope
from serving.decisions.contexts import FACTS
from serving.decisions.schemas import Chosen, NextBestActions, NotOffered, RunnerUp, ScoreUsed

PAGE = 1000
SCORES = ("churn", "propensity", "clv")
"""The fields of a row that are scores."""


class Speaker:
    """Tells decisions that were made by the same rules, in one language.

    Args:
        rules: what they say, as :attr:`Actions.canonical` has it.
    """

    def __init__(self, rules: str, language: Language) -> None:
        self._texts, self._language = texts(rules), language
        self._names = names_in(language, rules)
        self._offered = offered(rules)

    def answer(self, decision: Decision, *, with_scores: bool) -> NextBestActions:
        """The whole of a decision.

        Args:
            with_scores: whether to return the scores that it rests on.
        """
        choice = decision.choice
        scores = choice.scores if with_scores else {}
        chosen = {"action": choice.action, "channel": choice.channel, "cost": choice.cost}
        return NextBestActions(
            decision_id=decision.id or None,
            decided_at=decision.question.at,
            send_at=choice.reasons.get("send_at"),
            chosen=Chosen(**self._offer(chosen | {"value": choice.expected_value}, decision), how=choice.how),
            reasons=self._sentences(choice.reasons["why"]),
            offer=choice.reasons.get("offer"),
            runners_up=[
                RunnerUp(**self._offer(option, decision), why=self._joined(option["why"]))
                for option in choice.reasons["runners_up"]
            ],
            not_offered=[
                NotOffered(
                    action=action,
                    why=self._joined(why),
                    stage=choice.reasons.get("stages", {}).get(action),
                )
                for action, why in choice.reasons["not_offered"].items()
            ],
            scores={name: ScoreUsed.model_validate(score) for name, score in scores.items()},
        )

    def row(self, decision: Decision, customer_id: str | None, run_id: str | None) -> dict[str, Any]:
        """A decision as a row; its fields are in the order of ``decision_schemas.Row``."""
        choice = decision.choice
        facts = {name: choice.facts.get(name) for name in FACTS}
        send_at = choice.reasons.get("send_at")
        scores = {n: choice.scores.get(n, {}).get("score") for n in SCORES}
        return {
            "customer_id": customer_id,
            "decision_id": decision.id or None,
            "action": choice.action,
            "action_text": self._text(choice.action, decision),
            "channel": choice.channel,
            "expected_value": choice.expected_value,
            "cost": choice.cost,
            "probability": choice.probability,
            "how": choice.how,
            "reason": self._joined(choice.reasons["why"]),
            **facts,
            **scores,
            "run_id": run_id,
            "decided_at": decision.question.at,
            "send_at": send_at and datetime.fromisoformat(send_at),
        }

    def _offer(self, option: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
        name = option["action"]
        return {
            "action": name,
            "text": self._text(name, decision),
            "channel": option["channel"],
            "expected_value": option["value"],
            "cost": option["cost"],
            "probability": decision.choice.probabilities[name],
            "factors": decision.choice.reasons.get("factors", {}).get(name),
        }

    def _text(self, action: str, decision: Decision) -> str:
        offer = (decision.choice.reasons.get("offer") or {}) | self._offered.get(action, {})
        return filled_text(self._language, self._texts.get(action, {}), action, offer)

    def _joined(self, why: Sequence[Sequence[Any]]) -> str:
        """The reasons as one text."""
        return ("；" if self._language == "zh" else "; ").join(self._sentences(why))

    def _sentences(self, why: Sequence[Sequence[Any]]) -> list[str]:
        return [DecisionReason(code, values).words(self._language, self._names) for code, values in why]


def hidden_fields(caller: Caller, kind: str = "json") -> dict[str, str | None]:
    """The fields of a row that the caller's scopes do not include, each with null in place of its value.

    In a file for an importer it is an empty text: a missing value may make the importer clear the field.
    """
    fields: list[str] = []
    if not caller.may(Scope.SCORES):
        fields += SCORES
    if not caller.may(Scope.CUSTOMERS):
        fields += FACTS
    return dict.fromkeys(fields, "" if kind in ("csv", "xlsx") else None)


def rows(
    log: DecisionLog,
    identity: Identity,
    run: DecisionRun,
    start: int = 0,
    language: Language | None = None,
    *,
    only_actions: bool = False,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a run from a place on, in its order, each with its place; read bit by bit.

    Customers' ids are looked up as they are read: the log does not hold them.

    Args:
        only_actions: leave out the customers for whom nothing is to be done.
    """
    content = log.rules(run.rules)
    if content is None:
        raise PatronError("the rules of this run are missing from the log of decisions")
    speaker = Speaker(content, language or cast(Language, run.language))
    without = NOTHING if only_actions else None
    while page := runs.rows(log, run.id, start, PAGE, without=without):
        ids = identity.ids([decision.customer_key for _, decision in page])
        for place, decision in page:
            yield place, speaker.row(decision, ids.get(decision.customer_key), run.id)
        start = page[-1][0] + 1
