"""Traits of customers, by their latest values, and since when a customer is known."""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup
from features.groups.trait_values import day, flag, latest_of

EARLIEST_ACCOUNT_DAY = 7305  # 1990-01-01; an earlier day is a program's empty date

profile = FeatureGroup("profile", fresh_for=timedelta(days=7))


@profile.table
def latest(traits: ir.Table) -> ir.Table:
    """One row per trait of a customer; ``address.country`` is the country too."""
    is_country = traits.name == "address.country"
    return latest_of(traits.mutate(name=ibis.ifelse(is_country, "country", traits.name)))


@profile.table
def beginnings(
    latest: ir.Table, traits: ir.Table, order_lines: ir.Table, replaced_lines: ir.Table, activities: ir.Table
) -> ir.Table:
    """Per customer the days since the first event of each table, and since the account was created.

    An order that was cancelled or corrected since is an event, too. A day of creation that cannot be
    (``createdAt`` before 1990 or after the moment) is left out.
    """
    first = (
        table.group_by(KEYS).aggregate(days_ago=table.days_ago.max().cast("int64"))
        for table in (traits, order_lines, replaced_lines, activities)
    )
    accounts = latest.filter(latest.name == "createdAt").select(*KEYS, "as_of_day", created=day(latest.value))
    accounts = accounts.filter(accounts.created.between(EARLIEST_ACCOUNT_DAY, accounts.as_of_day))
    created = accounts.select(*KEYS, days_ago=accounts.as_of_day.cast("int64") - accounts.created)
    return ibis.union(*first, created, distinct=False)


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
    return flag(latest.value.max(where=latest.name == "newsletter"))


@profile.feature(unit="days")
def known_days(beginnings: ir.Table) -> ir.IntegerValue:
    """Days since the customer's first event or trait, or since the account was created if that is earlier."""
    return beginnings.days_ago.max()
