"""Decisions: scores and facts of customers, judged by the home's actions, committed before they are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, TypeAlias

from core import files
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import load
from decisions.context import CustomerContext
from decisions.holdout import HoldoutMembership, declare, membership
from decisions.plans.following import follow
from decisions.policies import consent
from decisions.policies.budgets import BudgetUse
from decisions.policy import recommend
from decisions.recommendation import Recommendation
from events.identity import merged_keys
from features.live.consents import ByChannel, Consents
from features.offline import habit_profiles
from records.contacts import Contact, ledger
from records.contacts.spending import Spent
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import Choose, DecisionLog
from serving.decisions.budgets.requests import budget_use, request_now, steering_prices
from serving.decisions.categories import CategoryScores
from serving.decisions.choice import choice_of
from serving.decisions.contexts import Entry, scored_context
from serving.decisions.offers import Offers
from serving.http.problems import Unprocessable
from serving.http.services import service
from serving.scores.champion_watch import ChampionWatch
from serving.scores.scorer import Scorer

_LOG = logging.getLogger(__name__)
Recommends: TypeAlias = Callable[[CustomerContext, BudgetUse], Recommendation]


class Decider:
    """Decides for a home's customers by its ``actions.toml``.

    The file is read again when it changes, or ``home.toml``, which declares traits that conditions read.
    """

    def __init__(self, scorer: Scorer, log: DecisionLog, watch: ChampionWatch | None = None) -> None:
        self.scorer, self.log = scorer, log
        watch = watch or ChampionWatch(scorer.home)
        self.categories, self.offers = CategoryScores(watch), Offers(watch)
        self.consents = Consents(scorer.home)
        self._loaded: tuple[tuple[files.Stamp | None, ...], Actions] | None = None

    def rules(self) -> Actions:
        """The actions as they stand now.

        Raises:
            PatronError: there is no file, or it cannot be used; says what to do.
        """
        home = self.scorer.home
        stamps = tuple(map(files.stamp, (home.actions, home.settings_file, home.audiences)))
        if self._loaded is None or self._loaded[0] != stamps:
            actions = load(home)
            self.log.keep_rules(actions.digest, actions.canonical)
            if actions.holdout_share is None and actions.control_share:
                _LOG.warning(
                    "%s: control_share is read as holdout_share: the group no longer changes every month;"
                    " rename the setting",
                    home.actions,
                )
            declare(self.log, actions, self.scorer.shop.now(), self.scorer.shop.time_zone)
            self._loaded = stamps, actions
        return self._loaded[1]

    def question(self, rules: Actions, channels: Sequence[str] | None, caller: str) -> DecisionRequest:
        """What is asked now.

        Raises:
            Unprocessable: an unknown channel; the text says which there are.
        """
        existing = rules.channel_names
        if unknown := [name for name in channels or () if name not in existing]:
            raise Unprocessable(
                f"channels: no action goes through {unknown[0][:50]!r}; there are {', '.join(existing)}"
            )
        named = tuple(sorted(set(channels or ())))
        # Naming all of them is the same question as naming none.
        restricted = None if named in ((), existing) else named
        return request_now(self.scorer, rules, restricted, caller)

    def decide(
        self,
        customers: Mapping[int, str],
        question: DecisionRequest,
        rules: Actions,
        route: str = "api",
        places: Sequence[int] = (),
    ) -> list[Decision]:
        """One decision per customer, in order; who has a standing one is given that.

        Args:
            customers: external ids by key.
            route: for the log of scores, ``api`` or ``bulk``.
            places: the positions of the customers in the run of the question.

        Raises:
            PatronError: a store is missing or unreadable.
        """
        consents = self.consents.of(list(customers), question.at)
        standing = self.log.standing(customers, question)
        if refused := [key for key, made in standing.items() if not _has_consent(made, rules, consents[key])]:
            with self.log.writing() as connection:  # what was not sent no longer stands
                for key in refused:
                    ledger.give_back(connection, standing.pop(key).id)
        if len(standing) == len(customers) and question.run_id is None:
            return list(standing.values())
        holdout = self._holdout(customers, question)
        choose = self._choose(customers, standing, consents, holdout, question, rules, route)
        decided = self.log.decide(list(customers), question, choose, places, merged_keys, holdout.enrol)
        return [decided[key] for key in customers]

    def preview(
        self,
        customers: Mapping[int, str],
        question: DecisionRequest,
        rules: Actions,
        spent: Spent | None = None,
    ) -> list[Decision]:
        """What :meth:`decide` would return now; nothing is written, not even the scores to their log.

        Args:
            spent: what earlier previews would use of budgets; None for none.

        Raises:
            PatronError: a store is missing or unreadable.
        """
        consents = self.consents.of(list(customers), question.at)
        standing = self.log.standing(customers, question)
        holdout = self._holdout(customers, question)
        choose = self._choose(customers, standing, consents, holdout, question, rules, None)
        decided = self.log.preview(list(customers), question, choose, merged_keys, spent)
        return [decided[key] for key in customers]

    def release(
        self,
        customers: Mapping[int, str],
        question: DecisionRequest,
        rules: Actions,
        planned: Mapping[int, str],
        places: Sequence[int],
    ) -> list[Decision]:
        """Decide as a plan says, where everything still permits that; standing decisions do not count.

        Args:
            planned: the planned action by customer. places: as for :meth:`decide`.

        Raises:
            PatronError: a store is missing or unreadable.
        """
        consents = self.consents.of(list(customers), question.at)
        holdout = self._holdout(customers, question)

        def by_plan(known: CustomerContext, use: BudgetUse) -> Recommendation:
            return follow(known, rules, question.day, planned[known.key], question.channels, use)

        choose = self._choose(customers, {}, consents, holdout, question, rules, "bulk", by_plan)
        decided = self.log.decide(
            list(customers), question, choose, places, merged_keys, holdout.enrol, anew=True
        )
        return [decided[key] for key in customers]

    def _choose(
        self,
        customers: Mapping[int, str],
        standing: Mapping[int, Decision],
        consents: Mapping[int, ByChannel],
        holdout: HoldoutMembership,
        question: DecisionRequest,
        rules: Actions,
        route: str | None,
        recommends: Recommends | None = None,
    ) -> Choose:
        """Score those customers who have no standing decision, and return how to choose for one of them."""
        entries = self._entries({k: c for k, c in customers.items() if k not in standing}, rules, route)
        offers = self.offers.of([*entries], rules.placeholders)
        recommends = recommends or self._by_policy(question, rules)
        zone, habits = self.scorer.shop.time_zone, habit_profiles.load(self.scorer.home)

        def choose(key: int, contacts: Sequence[Contact], spent: Spent) -> Choice:
            if key not in entries:  # its standing decision was accepted or rejected meanwhile
                entries.update(self._entries({key: customers[key]}, rules, route))
            known = scored_context(key, entries[key], contacts, consents[key], question, rules, zone, habits)
            if rules.placeholders and key not in offers:
                offers.update(self.offers.of([key], rules.placeholders))
            known = replace(known, in_holdout=key in holdout.held_out, offer=offers.get(key))
            use = budget_use(spent, question, zone)
            return choice_of(recommends(known, use), known, rules, use)

        return choose

    def _by_policy(self, question: DecisionRequest, rules: Actions) -> Recommends:
        prices = steering_prices(self.log)

        def recommends(known: CustomerContext, use: BudgetUse) -> Recommendation:
            return recommend(known, rules, question.day, self.log.salt, question.channels, use, prices)

        return recommends

    def _holdout(self, customers: Mapping[int, str], question: DecisionRequest) -> HoldoutMembership:
        zone = self.scorer.shop.time_zone
        return membership(self.log, self.scorer.identity, list(customers), question.at, zone)

    def _entries(self, customers: Mapping[int, str], rules: Actions, route: str | None) -> dict[int, Entry]:
        """The scores and features of customers by key, with the scores of categories that actions read."""
        if not customers:
            return {}
        entries = self.scorer.score(list(customers.values()), None, route, facts=True)
        inputs = self.categories.of(list(customers), rules)
        if inputs is None:
            return {key: (entry, {}, {}) for key, entry in zip(customers, entries, strict=True)}
        return {
            key: (entry, inputs.score_inputs(place), inputs.facts(place))
            for place, (key, entry) in enumerate(zip(customers, entries, strict=True))
        }


DeciderDep = Annotated[Decider, service(Decider)]


def _has_consent(decision: Decision, rules: Actions, consents: ByChannel) -> bool:
    """Whether the customer may still be contacted as was decided."""
    channel = decision.choice.channel
    return channel is None or consent.refusal(channel, rules.channel(channel), consents) is None
