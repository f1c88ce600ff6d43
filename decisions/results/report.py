"""The report of results: computed from orders and the decision log, and stored in the home.

A month is a calendar month of the shop. A customer is in the segment in which the first decision after the
enrolment found them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
from ibis.backends.sql import SQLBackend

from core import files
from core.calendar import date_of, day_of, midnight, moment
from core.errors import NothingThere, PatronError
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import load
from decisions.holdout import by_survivor, declare, survivors
from decisions.reasons import Language
from decisions.results import programme, words
from decisions.results.attribution import TOTALS, margins, orders_after, totals_by_action, with_named
from decisions.results.contact_events import write_contact_events
from decisions.results.from_events import record_from_events
from decisions.results.off_policy import ActionContrast, contrasts
from decisions.results.programme import YEAR_DAYS, ProgrammeEffect
from decisions.results.statistics import sample_ratio_p
from events import lake
from events.identity import Identity
from events.queries.decision_events import orders_of_decisions
from events.queries.net_orders import net_orders
from events.schema import Events
from records.decisions import DecisionLog
from records.results import holdout, reading
from records.results.conversions import Conversion, replace_all
from records.results.holdout import Enrolment, HoldoutPhase

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SEGMENTS = ("value_tier", "rfm_segment", "lifecycle_stage")
FILE = "results.json"
Report = dict[str, Any]
_LOG = logging.getLogger(__name__)


def update(home: Home, backend: SQLBackend | None = None) -> Report:
    """Compute the report as known now on the home's engine, or another; store it with the conversions.

    Raises:
        NothingThere: there is no shop, or no ``actions.toml``.
        PatronError: a store cannot be read.
    """
    shop = home.shop()
    with DecisionLog(home) as log:
        actions, now = load(home), shop.now()
        declare(log, actions, now, shop.time_zone)
        events = lake.read(home, backend or lake.backend_of(home, spill=True)).known_at(now)
        report = _Inputs(home, events, log, actions, now).report()
    home.reports.mkdir(parents=True, exist_ok=True)
    files.replace(home.reports / FILE, json.dumps(report))
    return report


def update_if_declared(home: Home, backend: SQLBackend | None = None) -> None:
    """The same for a home that may have no actions; what is wrong with them is logged."""
    try:
        if home.actions.exists():
            update(home, backend)
    except PatronError as error:
        _LOG.warning("results were not computed: %s", error)


def read(home: Home) -> Report:
    """The report as it was last stored.

    Raises:
        NothingThere: none was stored.
    """
    try:
        content: Report = json.loads((home.reports / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NothingThere(
            "there are no results yet; `patron results` and each build compute them"
        ) from error
    return content


def select(report: Report, month: str | None, by: str | None) -> Report:
    """A report with one month, or with the segments of one feature."""
    months = [row for row in report["months"] if month in (None, row["month"])]
    segments = [row for row in report["segments"] if by in (None, row["feature"])]
    return report | {"months": months, "segments": segments}


class _Inputs:
    """What a report is computed from; the keys are those of persons as they are known now."""

    def __init__(self, home: Home, events: Events, log: DecisionLog, actions: Actions, now: datetime) -> None:
        self.home, self.log, self.actions, self.now, self.shop = home, log, actions, now, home.shop()
        merges = Identity(home).merges()
        self.outcomes, self.person = record_from_events(events, log, by_survivor(merges)), survivors(merges)
        self.phases = [phase for phase in holdout.phases(log) if phase.at <= now]
        self.phase = self.phases[-1] if self.phases else None
        rotation = self.phase.rotation if self.phase else 0
        self.phases = [phase for phase in self.phases if phase.rotation == rotation]
        self.enrolments = holdout.enrolments(log, rotation, by_survivor(merges))
        first = min((enrolment.at for enrolment in self.enrolments), default=now)
        write_contact_events(home, events, log, actions, self.person, now)
        contacts = self._of_persons(reading.read_contacts(log))
        since = min([first, *(_aware(contacts["at"].min()) for _ in range(bool(len(contacts))))])
        orders = net_orders(events, since - timedelta(days=YEAR_DAYS))
        at, named = orders["at"].astype("datetime64[us]"), orders_of_decisions(events)
        self.orders = orders.assign(at=at, margin=margins(orders, actions.margin))
        self.converted = with_named(self.orders, contacts, named, actions.conversion_days)
        discounts = self.converted.groupby("decision_id")["discount"].sum()
        self.contacts = contacts.assign(discount=contacts["decision_id"].map(discounts).fillna(0.0))

    def report(self) -> Report:
        """The whole report, as JSON; stores the conversions."""
        changed = replace_all(self.log, self._conversions())
        return {
            "as_of": self.now.isoformat(),
            "currency": self.shop.currency,
            "time_zone": self.shop.time_zone,
            "conversion_days": self.actions.conversion_days,
            "conversions": {"count": len(self.converted), "changed": changed},
            "outcomes_from_events": self.outcomes,
            **self._programme(),
            "actions": self._actions(),
        }

    def _programme(self) -> Report:
        if self.phase is None or not self.enrolments:
            declared = self.phase is not None and self.phase.share > 0
            note = {name: words.nothing_to_compare(name, declared=declared) for name in LANGUAGES}
            return {"holdout": None, "programme": None, "months": [], "segments": [], "words": note}
        customers = programme.groups(self.enrolments, self.phases)
        start = min(enrolment.at for enrolment in self.enrolments)
        people = programme.per_customer(customers, self.orders, self.contacts, start, self.now)
        days = (self.now - start) / timedelta(days=1)
        whole = programme.effect(people, days)
        return {
            "holdout": _about(self.phases, self.phase, self.enrolments, people),
            "programme": self._as_dict(whole),
            "months": self._months(customers, start),
            "segments": self._segments(people, start, days),
            "words": self._in_words(words.of_programme, whole),
        }

    def _months(self, customers: pd.DataFrame, start: datetime) -> list[Report]:
        zone, months = self.shop.time_zone, []
        first = date_of(day_of(start, zone)).replace(day=1)
        while midnight(first, zone) < self.now:
            following = (first + timedelta(days=31)).replace(day=1)
            since, until = midnight(first, zone), min(midnight(following, zone), self.now)
            enrolled = customers[customers["enrolled"] < until.replace(tzinfo=None)]
            people = programme.per_customer(enrolled, self.orders, self.contacts, since, until)
            days = (until - max(since, start)) / timedelta(days=1)
            complete = until == midnight(following, zone)
            columns = self._as_dict(programme.effect(people, days))
            months.append({"month": f"{first:%Y-%m}", "complete": complete, **columns})
            first = following
        return months

    def _segments(self, people: pd.DataFrame, start: datetime, days: float) -> list[Report]:
        facts = self._of_persons(reading.read_facts(self.log, start)).drop_duplicates("customer_key")
        by_key = people["customer_key"].map(facts.set_index("customer_key")["facts"])
        segments = []
        for feature in SEGMENTS:
            values = by_key.map(partial(_fact, feature))
            for value in sorted(values.dropna().unique()):
                columns = self._as_dict(programme.effect(people[values == value], days))
                segments.append({"feature": feature, "value": value, **columns})
        return segments

    def _actions(self) -> list[Report]:
        window = timedelta(days=self.actions.conversion_days)
        choices = self._of_persons(reading.read_choices(self.log, moment(0), self.now - window))
        orders = orders_after(choices, self.orders, self.actions.conversion_days)
        choices = choices.assign(orders=orders["orders"], net_margin=orders["margin"] - choices["cost"])
        totals = totals_by_action(self.contacts, self.converted)
        results = {name: ActionContrast(name) for name in totals}
        results |= {contrast.action: contrast for contrast in contrasts(choices)}
        none = dict.fromkeys(TOTALS, 0.0)
        return [self._action_as_dict(results[name]) | totals.get(name, none) for name in sorted(results)]

    def _conversions(self) -> list[Conversion]:
        rows = self.converted
        net = (rows["paid"] - rows["refunded"]).round(4)
        columns = (
            rows["order_id"],
            rows["customer_key"],
            rows["decision_id"],
            rows["at"],
            net,
            rows["discount"],
        )
        return [
            Conversion(order, int(key), decision, _aware(at), float(money), float(discount))
            for order, key, decision, at, money, discount in zip(*columns, strict=True)
        ]

    def _as_dict(self, effect: ProgrammeEffect) -> Report:
        columns = asdict(effect)
        columns["unclear"] = [reason["code"] for reason in columns["unclear"]]
        return columns | {"words": self._in_words(words.of_programme, effect)}

    def _action_as_dict(self, contrast: ActionContrast) -> Report:
        return asdict(contrast) | {"words": self._in_words(words.of_action, contrast)}

    def _in_words(self, write: Callable[[Any, Language, str], str], result: Any) -> dict[str, str]:
        return {language: write(result, language, self.shop.currency) for language in LANGUAGES}

    def _of_persons(self, frame: pd.DataFrame) -> pd.DataFrame:
        keys = frame["customer_key"].map(lambda key: self.person.get(key, key)).astype("int64")
        changed = frame.assign(customer_key=keys)
        return changed.assign(at=frame["at"].astype("datetime64[us]")) if "at" in frame else changed


def _fact(feature: str, facts: object) -> object:
    return facts.get(feature) if isinstance(facts, dict) else None


def _about(
    phases: Sequence[HoldoutPhase], phase: HoldoutPhase, enrolments: Sequence[Enrolment], people: pd.DataFrame
) -> Report:
    sizes = people["group"].value_counts()
    treated, left_alone = int(sizes.get("treated", 0)), int(sizes.get("holdout", 0))
    expected = float(people.loc[people["group"] != "moved", "expected"].sum())
    return {
        "share": phase.share,
        "rotation": phase.rotation,
        "since": phases[0].at.isoformat(),
        "first_enrolment": min(enrolment.at for enrolment in enrolments).isoformat(),
        "treated": treated,
        "holdout": left_alone,
        "moved": int(sizes.get("moved", 0)),
        "sample_ratio_p": sample_ratio_p(treated, left_alone, expected),
    }


def _aware(at: pd.Timestamp) -> datetime:
    return at.to_pydatetime().replace(tzinfo=moment(0).tzinfo)
