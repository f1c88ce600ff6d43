"""Who the customers are: what they or the company said about them, the latest word counting."""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from features.group import FeatureGroup

profile = FeatureGroup("profile", fresh_for=timedelta(days=7))


def latest(traits: ir.Table, name: str) -> ir.StringValue:
    """The latest value of the trait ``name``; of two at the same moment the greater one."""
    # One sortable text, since engines break ties of argmax differently.
    at = traits.timestamp.epoch_seconds().cast("string").lpad(12, "0")
    return (at + traits.value).max(where=traits.name == name).substr(12)


@profile.feature(unit="country")
def country(traits: ir.Table) -> ir.StringValue:
    """The country last known."""
    return latest(traits, "country")


@profile.feature(unit="channel")
def acquisition_channel(traits: ir.Table) -> ir.StringValue:
    """The channel through which the customer came."""
    return latest(traits, "channel")


@profile.feature(unit="yes or no")
def newsletter(traits: ir.Table) -> ir.BooleanValue:
    """Whether the customer takes the newsletter; null when never said."""
    return latest(traits, "newsletter") == "true"


@profile.feature(unit="days")
def known_days(traits: ir.Table) -> ir.IntegerValue:
    """Days since the company first learnt anything about the customer."""
    return traits.days_ago.max()
