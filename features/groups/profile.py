"""Who the customers are: what they or the company said about them, the latest word counting."""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup

profile = FeatureGroup("profile", fresh_for=timedelta(days=7))


@profile.table
def latest(traits: ir.Table) -> ir.Table:
    """One row per trait of a customer: its latest value; of two at the same moment the greater one."""
    known = traits.filter(traits.value.notnull())
    newest_first = [known.timestamp.desc(), known.value.desc()]
    place = ibis.row_number().over(group_by=[*KEYS, "name"], order_by=newest_first)
    ranked = known.mutate(place=place)
    return ranked.filter(ranked.place == 0)


@profile.feature(unit="country")
def country(latest: ir.Table) -> ir.StringValue:
    """The country last known."""
    return latest.value.max(where=latest.name == "country")


@profile.feature(unit="channel")
def acquisition_channel(latest: ir.Table) -> ir.StringValue:
    """The channel through which the customer came."""
    return latest.value.max(where=latest.name == "channel")


@profile.feature(unit="yes or no")
def newsletter(latest: ir.Table) -> ir.BooleanValue:
    """Whether the customer takes the newsletter; null when never said."""
    return latest.value.max(where=latest.name == "newsletter") == "true"


@profile.feature(unit="days")
def known_days(traits: ir.Table) -> ir.IntegerValue:
    """Days since the company first learnt anything about the customer."""
    return traits.days_ago.max()
