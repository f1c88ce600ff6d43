"""The features as a data scientist writes them in pandas: tables in memory, groupby after groupby.

Money is counted in ten-thousandths, as whole numbers, so that sums are exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from events.lake import BUCKETS

KEY = "customer_key"
GRID = (
    ("inactive", "inactive", "slipping", "slipping", "cannot_lose"),
    ("hibernating", "hibernating", "slipping", "slipping", "cannot_lose"),
    ("about_to_sleep", "about_to_sleep", "needs_attention", "core", "core"),
    ("recent", "promising", "promising", "champions", "champions"),
    ("recent", "promising", "promising", "champions", "champions"),
)
VISITS = ("page", "screen", "app_opened", "viewed", "listed", "searched", "cart_viewed")
CARTS = ("cart_added", "cart_removed", "checkout")
PAID = ("subscription_started", "subscription_renewed")
TOPICS = ("delivery", "quality", "service")
CONTACTS = ("sent", "opened", "clicked", "unsubscribed", "bounced", "marked_as_spam")


def build(
    events: Path,
    opinions: Path,
    boundaries: Sequence[Path],
    as_ofs: Sequence[datetime],
    zone: str,
    out: Path,
    buckets: Iterable[int],
) -> None:
    """Write a Parquet file per moment, named by its place, with all features of everyone known then.

    Args:
        opinions: what texts say, as the product reads them.
        buckets: of the lake, which of them: each holds a share of the customers.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = ("order_lines", "refunds", "traits", "activities")
    tables = {name: _read([events / name / f"bucket={b:02d}" for b in buckets]) for name in names}
    opinions_at = pd.read_parquet(opinions)
    tables["opinions"] = opinions_at[(opinions_at[KEY] % BUCKETS).isin(list(buckets))]
    bounds = pd.concat([pd.read_parquet(path) for path in boundaries])
    for place, as_of in enumerate(as_ofs):
        features(tables, bounds, as_of, zone).reset_index().to_parquet(out / f"{place}.parquet")


def features(
    tables: dict[str, pd.DataFrame], bounds: pd.DataFrame, as_of: datetime, zone: str
) -> pd.DataFrame:
    """All features as of a moment, by ``customer_key``."""
    cut = pd.Timestamp(as_of).tz_localize(None)
    today = (pd.Timestamp(as_of).tz_convert(zone).tz_localize(None).normalize() - pd.Timestamp(0)).days
    seen = {}
    for name, table in tables.items():
        known = table[(table["timestamp"] < cut) & (table["received_at"] <= cut)]
        seen[name] = known.assign(days_ago=today - known["day"])
    lines, acts = seen["order_lines"], seen["activities"]
    known_keys = (lines[KEY], seen["traits"][KEY], acts[KEY])
    f = pd.DataFrame(
        index=pd.Index(np.unique(np.concatenate([keys.unique() for keys in known_keys])), name=KEY)
    )
    orders = _orders(lines)
    categories = _categories(lines)
    for part in (
        _purchases(orders, lines),
        _refunds(seen["refunds"]),
        _prices(orders, lines),
        _tastes(categories, lines),
        _profile(seen["traits"], lines, acts),
        _engagement(acts, lines),
        _contacts(acts),
        _subscriptions(acts, today),
        _feedback(acts),
        _opinions(seen["opinions"]),
    ):
        f = f.join(part)
    counts = ["orders_total", "orders_30d", "orders_90d", "orders_365d", "items_total", "distinct_products"]
    money = ["spend_total", "spend_90d", "spend_365d", "refunded_total", "refunded_365d"]
    others = ["distinct_categories", "visits_7d", "visits_30d", "visits_90d", "product_views_30d"]
    others += ["products_viewed_90d", "searches_30d", "carts_90d", "abandoned_carts_90d", "contacts_7d"]
    others += ["contacts_30d", "contacts_90d", "emails_90d", "opened_30d", "opened_90d", "clicked_90d"]
    others += ["ignored_in_a_row", "active_subscriptions", "renewing_subscriptions", "subscription_renewals"]
    others += ["subscription_monthly_amount", "subscriptions_ended"]
    others += ["ignored_in_a_row", "reviews_365d", "low_ratings_365d", "complaints_365d", "open_complaints"]
    others += ["texts_365d", *(f"{topic}_complaints_365d" for topic in TOPICS)]
    f = f.fillna(dict.fromkeys([*counts, *money, *others], 0))
    f["refund_share"] = f["refunded_total"] / f["spend_total"].replace(0, np.nan)
    f["net_spend_365d"] = f["spend_365d"] - f["refunded_365d"]
    f["average_order_value"] = f["spend_total"] / f["orders_total"].replace(0, np.nan)
    f["overdue_ratio"] = f["recency_days"] / f["median_gap_days"].clip(lower=1)
    f["spend_trend"] = f["spend_90d"] / (f["spend_365d"] * 90 / 365).replace(0, np.nan)
    return f.join(_segments(f, categories, _in_force(bounds, cut)))


def _read(folders: Sequence[Path]) -> pd.DataFrame:
    table = pa.concat_tables(pq.read_table(folder, partitioning=None) for folder in folders)
    for name in table.column_names:
        place = table.column_names.index(name)
        if pa.types.is_decimal(table[name].type):
            whole = pc.multiply(table[name], pa.scalar(10_000)).cast("int64")
            table = table.set_column(place, name, whole)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _orders(lines: pd.DataFrame) -> pd.DataFrame:
    discount = lines["discount"].fillna(0).astype("int64")
    priced = lines.assign(discount=discount, full_price=lines["amount"].where(discount == 0, 0))
    return priced.groupby([KEY, "order_id"], as_index=False).agg(
        days_ago=("days_ago", "max"),
        day=("day", "min"),
        amount=("amount", "sum"),
        items=("quantity", "sum"),
        discount=("discount", "sum"),
        full_price=("full_price", "sum"),
    )


def _purchases(orders: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    by = orders.groupby(KEY)
    f = by.agg(
        orders_total=("order_id", "size"),
        recency_days=("days_ago", "min"),
        tenure_days=("days_ago", "max"),
        spend_total=("amount", "sum"),
        largest_order=("amount", "max"),
        items_total=("items", "sum"),
    )
    for days in (30, 90, 365):
        recent = orders[orders["days_ago"] <= days].groupby(KEY)
        f[f"orders_{days}d"] = recent.size()
        if days > 30:
            f[f"spend_{days}d"] = recent["amount"].sum() / 10_000
    f["spend_total"] /= 10_000
    f["largest_order"] /= 10_000
    in_time = orders.sort_values([KEY, "day", "order_id"])
    gaps = in_time.groupby(KEY)["day"].diff().groupby(in_time[KEY])
    f["median_gap_days"], f["longest_gap_days"], f["gap_spread_days"] = gaps.median(), gaps.max(), gaps.std()
    f["weekend_share"] = ((orders["day"] + 3) % 7 >= 5).groupby(orders[KEY]).mean()
    f["distinct_products"] = lines.groupby(KEY)["product_id"].nunique()
    return f


def _refunds(refunds: pd.DataFrame) -> pd.DataFrame:
    f = refunds.groupby(KEY).agg(refunded_total=("amount", "sum"), days_since_refund=("days_ago", "min"))
    f["refunded_365d"] = refunds[refunds["days_ago"] <= 365].groupby(KEY)["amount"].sum() / 10_000
    f["refunded_total"] /= 10_000
    return f


def _prices(orders: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    by = orders.groupby(KEY)[["amount", "discount", "full_price", "items"]].sum()
    recent = orders[orders["days_ago"] <= 365].groupby(KEY)[["amount", "discount"]].sum()
    off, full = orders[orders["discount"] > 0], orders[orders["discount"] == 0]
    paid = lines[(lines["amount"] > 0) & (lines["quantity"] > 0)]
    unit = (paid["amount"] / 10_000 / paid["quantity"]).groupby(paid[KEY])
    f = pd.DataFrame(index=by.index)
    f["discount_share"] = by["discount"] / (by["amount"] + by["discount"]).replace(0, np.nan)
    f["discount_share_365d"] = recent["discount"] / (recent["amount"] + recent["discount"]).replace(0, np.nan)
    f["full_price_share"] = by["full_price"] / by["amount"].replace(0, np.nan)
    f["discounted_order_ratio"] = off.groupby(KEY)["amount"].mean() / full.groupby(KEY)[
        "amount"
    ].mean().replace(0, np.nan)
    f["days_since_discounted_order"] = off.groupby(KEY)["days_ago"].min()
    f["average_unit_price"] = by["amount"] / 10_000 / by["items"].replace(0, np.nan)
    f["unit_price_ratio"] = unit.max() / unit.min()
    return f


def _categories(lines: pd.DataFrame) -> pd.DataFrame:
    lines = lines.assign(spend_90d=lines["amount"].where(lines["days_ago"] <= 90, 0))
    totals = lines.groupby([KEY, "category"], as_index=False).agg(
        days_ago=("days_ago", "max"), spend=("amount", "sum"), spend_90d=("spend_90d", "sum")
    )
    totals["share"] = totals["spend"] / totals.groupby(KEY)["spend"].transform("sum").replace(0, np.nan)
    return totals


def _tastes(categories: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    paid = categories[categories["spend"] > 0]
    by = categories.groupby(KEY)
    f = by.agg(distinct_categories=("category", "size"), days_since_new_category=("days_ago", "min"))
    f["favourite_category"] = _first(paid, ["spend"], "category")
    f["favourite_category_share"] = by["spend"].max() / by["spend"].sum().replace(0, np.nan)
    new = categories[categories["days_ago"] <= 90].groupby(KEY)["spend_90d"].sum()
    recent = by["spend_90d"].sum().replace(0, np.nan)
    f["new_category_share_90d"] = new.reindex(recent.index, fill_value=0) / recent
    f["category_entropy"] = (-paid["share"] * np.log2(paid["share"])).groupby(paid[KEY]).sum()
    bought = lines[[KEY, "product_id", "order_id"]].drop_duplicates()
    purchases = bought.groupby(KEY).size()
    products = bought[[KEY, "product_id"]].drop_duplicates().groupby(KEY).size()
    return f.join(((purchases - products) / purchases).rename("repeat_product_share"), how="outer")


def _first(frame: pd.DataFrame, largest: list[str], name: str) -> pd.Series:
    """Per customer the name with the largest values; of equals the first."""
    ascending = [True, *[False] * len(largest), True]
    ranked = frame.sort_values([KEY, *largest, name], ascending=ascending)
    first: pd.Series = ranked.drop_duplicates(KEY).set_index(KEY)[name]
    return first


def _profile(traits: pd.DataFrame, lines: pd.DataFrame, acts: pd.DataFrame) -> pd.DataFrame:
    latest = traits.dropna(subset="value").sort_values(["timestamp", "value"])
    latest = latest.drop_duplicates([KEY, "name"], keep="last").pivot(
        index=KEY, columns="name", values="value"
    )
    latest = latest.reindex(columns=["country", "channel", "newsletter"])
    f = latest.rename(columns={"channel": "acquisition_channel"})
    f["newsletter"] = (f["newsletter"] == "true").astype(object).where(f["newsletter"].notna())
    events = pd.concat([table[[KEY, "days_ago"]] for table in (traits, lines, acts)])
    return f.join(events.groupby(KEY)["days_ago"].max().rename("known_days"), how="outer")


def _engagement(acts: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    done = acts[acts["kind"].isin([*VISITS, *CARTS])]
    moments = (
        done.assign(fills=done["kind"].isin(["cart_added", "checkout"]))
        .groupby([KEY, "timestamp"], as_index=False)
        .agg(days_ago=("days_ago", "max"), hour=("hour", "max"), fills=("fills", "max"))
    )
    begins = ~(moments.groupby(KEY)["timestamp"].diff() < pd.Timedelta(minutes=30))
    fills = moments["fills"]
    moments = moments.assign(
        visit=begins.cumsum(),
        filled_at=moments["timestamp"].where(fills),
        filled_days_ago=moments["days_ago"].where(fills),
    )
    visits = moments.groupby([KEY, "visit"], as_index=False).agg(
        days_ago=("days_ago", "max"),
        hour=("hour", "first"),
        filled_at=("filled_at", "max"),
        filled_days_ago=("filled_days_ago", "min"),
    )
    recent = visits[visits["days_ago"] <= 90]
    f = visits.groupby(KEY).agg(days_since_visit=("days_ago", "min"))
    for days in (7, 30, 90):
        f[f"visits_{days}d"] = visits[visits["days_ago"] <= days].groupby(KEY).size()
    f["visit_trend"] = f["visits_30d"].fillna(0) * 3 / f["visits_90d"]
    f["usual_visit_hour"] = _first(
        recent.groupby([KEY, "hour"], as_index=False).agg(visits=("visit", "size")), ["visits"], "hour"
    )
    f["cart_visit_share_90d"] = recent["filled_at"].notna().groupby(recent[KEY]).mean()
    f["carts_90d"] = visits[visits["filled_days_ago"] <= 90].groupby(KEY).size()
    f = f.join(_carts(visits, lines))
    return f.join(_views(acts), how="outer")


def _carts(visits: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    filled = visits[visits["filled_days_ago"] >= 2].sort_values("filled_at")
    ordered = lines[[KEY, "timestamp"]].drop_duplicates().sort_values("timestamp")
    carts = pd.merge_asof(
        filled,
        ordered,
        left_on="filled_at",
        right_on="timestamp",
        by=KEY,
        direction="forward",
        tolerance=pd.Timedelta(hours=24),
    )
    carts["abandoned"] = carts["timestamp"].isna()
    recent, left = carts[carts["filled_days_ago"] <= 90], carts[carts["abandoned"]]
    f = left.groupby(KEY).agg(days_since_abandoned_cart=("filled_days_ago", "min"))
    by = recent.groupby(KEY)["abandoned"]
    counts = pd.DataFrame({"abandoned_carts_90d": by.sum(), "cart_abandonment_share_90d": by.mean()})
    return f.join(counts, how="outer")


def _views(acts: pd.DataFrame) -> pd.DataFrame:
    views = (
        acts[acts["kind"] == "viewed"]
        .groupby([KEY, "timestamp", "product_id"], as_index=False, dropna=False)
        .agg(days_ago=("days_ago", "max"), category=("category", "min"))
    )
    recent = views[views["days_ago"] <= 90]
    f = pd.DataFrame({"products_viewed_90d": recent.groupby(KEY)["product_id"].nunique()})
    seen = recent.groupby([KEY, "category"], as_index=False).agg(views=("timestamp", "size"))
    by = seen.groupby(KEY)["views"]
    f["most_viewed_category_90d"] = _first(seen, ["views"], "category")
    f["most_viewed_category_share_90d"] = by.max() / by.sum()
    f["product_views_30d"] = views[views["days_ago"] <= 30].groupby(KEY).size()
    searched = acts[(acts["kind"] == "searched") & (acts["days_ago"] <= 30)]
    return f.join(searched.groupby(KEY)["timestamp"].nunique().rename("searches_30d"), how="outer")


def _messages(activities: pd.DataFrame) -> pd.DataFrame:
    """One row per message: when it was sent, opened and clicked."""
    one = [KEY, "channel", "reference"]
    activities = activities.assign(
        sent_day=activities["day"].where(activities["kind"] == "sent"), later=activities["kind"] != "sent"
    )
    activities = activities.sort_values([*one, "timestamp", "later", "kind"])
    same = [activities[name] for name in one]
    latest = activities.groupby(same, dropna=False)["sent_day"].cummax().groupby(same, dropna=False).ffill()
    before = latest.groupby(same, dropna=False).shift()
    begins = activities["sent_day"].notna() & ~(activities["sent_day"] <= before)
    number = begins.astype("int64").groupby(same, dropna=False).cumsum()
    sent, opened = activities["kind"] == "sent", activities["kind"].isin(["opened", "clicked"])
    messages = (
        activities.assign(
            number=number,
            sent_at=activities["timestamp"].where(sent),
            sent_days_ago=activities["days_ago"].where(sent),
            responded_at=activities["timestamp"].where(opened),
            opened_days_ago=activities["days_ago"].where(opened),
            clicked_days_ago=activities["days_ago"].where(activities["kind"] == "clicked"),
            bounced=activities["kind"] == "bounced",
        )
        .groupby([*one, "number"], as_index=False, dropna=False)
        .agg(
            sent_at=("sent_at", "min"),
            sent_days_ago=("sent_days_ago", "max"),
            responded_at=("responded_at", "max"),
            opened_days_ago=("opened_days_ago", "min"),
            clicked_days_ago=("clicked_days_ago", "min"),
            bounced=("bounced", "any"),
        )
    )
    messages.loc[messages["bounced"], ["sent_at", "sent_days_ago"]] = None
    return messages


def _contacts(acts: pd.DataFrame) -> pd.DataFrame:
    columns = [KEY, "channel", "reference", "timestamp", "day", "days_ago", "hour", "kind"]
    contacts = acts.loc[
        acts["kind"].isin(["sent", "opened", "clicked", "bounced"]), columns
    ].drop_duplicates()
    m = _messages(contacts)
    f = m.groupby(KEY).agg(
        days_since_contact=("sent_days_ago", "min"),
        days_since_open=("opened_days_ago", "min"),
        days_since_click=("clicked_days_ago", "min"),
    )
    sent = m[m["sent_days_ago"] <= 90]
    emails = sent[sent["channel"] == "email"]
    for days in (7, 30, 90):
        f[f"contacts_{days}d"] = m[m["sent_days_ago"] <= days].groupby(KEY).size()
    f["emails_90d"] = emails.groupby(KEY).size()
    for days in (30, 90):
        f[f"opened_{days}d"] = m[m["opened_days_ago"] <= days].groupby(KEY).size()
    f["clicked_90d"] = m[m["clicked_days_ago"] <= 90].groupby(KEY).size()
    f["open_rate_90d"] = sent["opened_days_ago"].notna().groupby(sent[KEY]).mean()
    f["click_rate_90d"] = sent["clicked_days_ago"].notna().groupby(sent[KEY]).mean()
    f["email_open_rate_90d"] = emails["opened_days_ago"].notna().groupby(emails[KEY]).mean()
    latest = m.groupby(KEY)["responded_at"].transform("max")
    unanswered = m[m["sent_at"].notna() & ~(m["sent_at"] <= latest)]
    f["ignored_in_a_row"] = unanswered.groupby(KEY).size()
    used = m[(m["sent_days_ago"] <= 365) & m["channel"].notna()]
    channels = used.groupby([KEY, "channel"], as_index=False).agg(
        sent=("number", "size"), opened=("opened_days_ago", "count"), clicked=("clicked_days_ago", "count")
    )
    channels["click_rate"] = channels["clicked"] / channels["sent"]
    channels["open_rate"] = channels["opened"] / channels["sent"]
    best = channels.sort_values(
        [KEY, "click_rate", "open_rate", "channel"], ascending=[True, False, False, True]
    ).drop_duplicates(KEY)
    f["preferred_channel_365d"] = best[best["opened"] > 0].set_index(KEY)["channel"]
    responses = contacts[contacts["kind"].isin(["opened", "clicked"]) & (contacts["days_ago"] <= 365)]
    hours = responses.groupby([KEY, "hour"], as_index=False).agg(responses=("timestamp", "nunique"))
    f["preferred_hour_365d"] = _first(hours, ["responses"], "hour")
    return f.join(_refusals(acts), how="outer")


def _refusals(acts: pd.DataFrame) -> pd.DataFrame:
    contacts = acts[acts["kind"].isin(CONTACTS)]
    spam, unsubscribed = contacts["kind"] == "marked_as_spam", contacts["kind"] == "unsubscribed"
    f = pd.DataFrame(
        {
            "unsubscribed_email": (unsubscribed & (contacts["channel"] == "email"))
            .groupby(contacts[KEY])
            .any(),
            "marked_as_spam": spam.groupby(contacts[KEY]).any(),
        }
    )
    f["days_since_opt_out"] = contacts[spam | unsubscribed].groupby(KEY)["days_ago"].min()
    return f


def _subscriptions(acts: pd.DataFrame, today: int) -> pd.DataFrame:
    payments = acts[acts["kind"].isin([*PAID, "subscription_cancelled", "subscription_ended"])]
    properties = pd.json_normalize(payments["properties"].map(json.loads).tolist()).set_index(payments.index)
    properties = properties.reindex(columns=["period_months", "ends_at"])
    paid = payments["kind"].isin(PAID)
    begun = pd.Series(pd.to_datetime(payments["day"], unit="D"), payments.index)
    after = [
        day + pd.DateOffset(months=int(months)) if pays and months == months else pd.NaT
        for day, months, pays in zip(begun, properties["period_months"], paid, strict=True)
    ]
    until = pd.to_datetime(properties["ends_at"]).fillna(
        pd.Series(after, payments.index, dtype="datetime64[ns]")
    )
    payments = payments.assign(
        paid=paid, months=properties["period_months"], ends_in=(until - pd.Timestamp(0)).dt.days - today
    )
    same = [payments[KEY], payments["reference"]]
    for name, where in (("started_at", payments["kind"] == PAID[0]), ("paid_at", paid)):
        payments[name] = payments["timestamp"].where(where).groupby(same, dropna=False).transform("max")
    one = _running_subscriptions(payments[~(payments["timestamp"] < payments["started_at"])])
    active = one[one["active"]]
    by = active.groupby(KEY)
    f = by.agg(
        active_subscriptions=("active", "size"),
        subscription_tenure_days=("began", "max"),
        subscription_renewals=("renewals", "sum"),
        subscription_days_left=("ends_in", "min"),
        subscription_period_months=("months", "max"),
    )
    f["renewing_subscriptions"] = active["noticed"].isna().groupby(active[KEY]).sum()
    f["subscription_monthly_amount"] = by["units"].sum() / 10_000
    over = one[~one["active"]].groupby(KEY)["ends_in"].agg(["size", "max"])
    f = f.join(over["size"].rename("subscriptions_ended"), how="outer")
    f = f.join(-over["max"].rename("days_since_subscription_end"), how="outer")
    cancelled = payments[payments["kind"] == "subscription_cancelled"].groupby(KEY)["days_ago"].min()
    return f.join(cancelled.rename("days_since_cancellation"), how="outer")


def _running_subscriptions(subscriptions: pd.DataFrame) -> pd.DataFrame:
    """One row per subscription: until when it is paid, whether notice was given, and whether it goes on."""
    latest = subscriptions["paid"] & (subscriptions["timestamp"] == subscriptions["paid_at"])
    stands = ~(subscriptions["timestamp"] < subscriptions["paid_at"])
    notice = stands & (subscriptions["kind"] == "subscription_cancelled")
    ended = stands & (subscriptions["kind"] == "subscription_ended")
    one = (
        subscriptions.assign(
            renewed_at=subscriptions["timestamp"].where(subscriptions["kind"] == PAID[1]),
            paid_until=subscriptions["ends_in"].where(latest),
            paid_ago=subscriptions["days_ago"].where(latest),
            amount=subscriptions["amount"].where(latest),
            months=subscriptions["months"].where(latest),
            noticed=-subscriptions["days_ago"].where(notice),
            notice_until=subscriptions["ends_in"].where(notice),
            ended=-subscriptions["days_ago"].where(ended),
        )
        .groupby([KEY, "reference"], as_index=False, dropna=False)
        .agg(
            began=("days_ago", "max"),
            renewals=("renewed_at", "nunique"),
            paid_until=("paid_until", "max"),
            paid_ago=("paid_ago", "min"),
            amount=("amount", "max"),
            months=("months", "max"),
            noticed=("noticed", "min"),
            notice_until=("notice_until", "max"),
            ended=("ended", "min"),
        )
    )
    ends = one[["paid_until", "noticed"]].max(axis=1).where(one["noticed"].notna(), one["paid_until"])
    one["ends_in"] = one["ended"].fillna(one["notice_until"]).fillna(ends)
    grace = np.where(one["noticed"].isna(), 14, 0)
    one["active"] = one["ended"].isna() & ~(one["ends_in"] + grace <= 0)
    term = ((one["paid_until"] + one["paid_ago"]) * 16 / 487).round().clip(lower=1)
    one["months"] = one["months"].fillna(term)
    one["units"] = one["amount"] // one["months"].fillna(1)
    return one


def _feedback(acts: pd.DataFrame) -> pd.DataFrame:
    reviewed = _with_number(acts[acts["kind"] == "reviewed"], "rating", 1, 5)
    reviews = reviewed.groupby([KEY, "timestamp", "product_id"], as_index=False, dropna=False).agg(
        days_ago=("days_ago", "max"), rating=("rating", "min")
    )
    recent = reviews[reviews["days_ago"] <= 365]
    f = reviews.groupby(KEY).agg(days_since_review=("days_ago", "min"))
    f["reviews_365d"] = recent.groupby(KEY).size()
    f["low_ratings_365d"] = recent[recent["rating"] <= 2].groupby(KEY).size()
    ratings = recent.groupby(KEY)["rating"]
    f["mean_rating_365d"], f["lowest_rating_365d"] = ratings.mean(), ratings.min()
    f["last_rating"] = _latest(reviews, "rating")
    surveys = _with_number(acts[acts["kind"] == "survey_answered"], "score", 0, 10).dropna(subset="score")
    s = surveys.groupby(KEY).agg(days_since_survey=("days_ago", "min"))
    s["last_survey_score"] = _latest(surveys, "score")
    return f.join(s, how="outer").join(_complaints(acts), how="outer")


def _with_number(acts: pd.DataFrame, name: str, lowest: float, highest: float) -> pd.DataFrame:
    numbers = pd.Series(
        [json.loads(text or "{}").get(name) for text in acts["properties"]], acts.index, object
    )
    number = pd.to_numeric(numbers, errors="coerce")
    return acts.assign(**{name: number.where(number.between(lowest, highest))})


def _latest(rows: pd.DataFrame, value: str) -> pd.Series:
    """Per customer the latest value; of equally late ones the lowest."""
    known = rows.dropna(subset=value).sort_values([KEY, "timestamp", value], ascending=[True, False, True])
    latest: pd.Series = known.drop_duplicates(KEY).set_index(KEY)[value]
    return latest


def _complaints(acts: pd.DataFrame) -> pd.DataFrame:
    one = [KEY, "reference"]
    resolved = acts[acts["kind"] == "complaint_resolved"].groupby(one, dropna=False)["timestamp"].max()
    opened = acts[acts["kind"] == "complaint_opened"].join(resolved.rename("resolved_at"), on=one)
    alone = opened["timestamp"].where(opened["reference"].isna())
    complaints = (
        opened.assign(alone=alone)
        .groupby([*one, "alone"], as_index=False, dropna=False)
        .agg(days_ago=("days_ago", "min"), opened=("timestamp", "max"), resolved=("resolved_at", "max"))
    )
    f = complaints.groupby(KEY).agg(days_since_complaint=("days_ago", "min"))
    f["complaints_365d"] = complaints[complaints["days_ago"] <= 365].groupby(KEY).size()
    is_open = ~(complaints["resolved"] >= complaints["opened"])
    f["open_complaints"] = complaints[is_open].groupby(KEY).size()
    return f


def _opinions(opinions: pd.DataFrame) -> pd.DataFrame:
    one = [KEY, "timestamp", "days_ago", "kind", "reference", "product_id", "content", "confidence", "topics"]
    texts = opinions[one].drop_duplicates().astype({"content": "float64", "confidence": "float64"})
    discontent = texts["content"] < 0.5
    texts = texts.assign(complains=(texts["kind"] == "complaint_opened") | discontent)
    recent = texts[texts["days_ago"] <= 365]
    by = recent.groupby(KEY)
    f = pd.DataFrame({"texts_365d": by.size(), "least_content_365d": by["content"].min()})
    weighted = (recent["content"] * recent["confidence"]).groupby(recent[KEY]).sum()
    f["mean_content_365d"] = weighted / by["confidence"].sum().replace(0, np.nan)
    f["discontent_share_365d"] = (
        discontent.where(texts["content"].notna())[recent.index].astype("float64").groupby(recent[KEY]).mean()
    )
    for topic in TOPICS:
        about = recent[recent["complains"] & recent["topics"].str.contains(f",{topic},", regex=False)]
        f[f"{topic}_complaints_365d"] = about.groupby(KEY).size()
    each = recent.assign(topic=recent["topics"].str.split(",")).explode("topic")
    topics = (
        each[each["topic"] != ""]
        .groupby([KEY, "topic"], as_index=False)
        .agg(texts=("complains", "size"), complaining=("complains", "sum"))
    )
    f["top_topic_365d"] = _first(topics, ["texts"], "topic")
    f["top_complaint_topic_365d"] = _first(topics[topics["complaining"] > 0], ["complaining"], "topic")
    judged = texts.dropna(subset="content")
    last = judged.sort_values([KEY, "timestamp", "content"], ascending=[True, False, True]).drop_duplicates(
        KEY
    )
    names = {"content": "last_text_content", "confidence": "last_text_confidence"}
    return f.join(last.set_index(KEY)[[*names]].rename(columns=names), how="outer")


def _in_force(bounds: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    known = bounds[bounds["valid_from"] <= cut]
    return known[known["valid_from"] == known.groupby("kind")["valid_from"].transform("max")]


def _segments(f: pd.DataFrame, categories: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    buys = f["orders_total"] > 0

    def reached(kind: str, measure: pd.Series) -> pd.Series:
        limits = np.sort(bounds.loc[bounds["kind"] == kind, "bound"].to_numpy())
        if not len(limits):
            return pd.Series(np.nan, f.index)
        places = pd.Series(np.searchsorted(limits, measure.to_numpy(), side="right"), f.index)
        return places.where(buys)

    s = pd.DataFrame(index=f.index)
    days, orders, net = f["recency_days"], f["orders_total"], f["spend_total"] - f["refunded_total"]
    s["recency_score"] = (5 - reached("recency", days)).clip(
        lower=pd.Series(np.where(days <= 30, 3, 1), f.index),
        upper=pd.Series(np.select([days > 180, days > 90], [2, 3], 5), f.index),
    )
    most = pd.Series(np.select([orders == 1, orders < 4], [1, orders + 1], 5), f.index)
    s["frequency_score"] = (1 + reached("frequency", orders)).clip(upper=most)
    s["monetary_score"] = (1 + reached("money", net)).where(~(buys & (net <= 0)), 1)
    places = reached("tier", f["net_spend_365d"]).fillna(0)
    tiers = pd.Series(
        np.select([f["net_spend_365d"] <= 0, places == 3, places == 2], ["D", "A", "B"], "C"), f.index
    )
    s["value_tier"] = tiers.where(buys)
    late_after = (2 * f["median_gap_days"]).fillna(90).clip(lower=30)
    s["lifecycle_stage"] = np.select(
        [
            ~buys,
            f["recency_days"] > 180,
            f["recency_days"] > late_after,
            f["orders_total"] == 1,
            f["orders_365d"] >= 4,
        ],
        ["prospect", "lapsed", "at_risk", "new", "loyal"],
        "repeat",
    )
    stage, tier = s["lifecycle_stage"], s["value_tier"]
    row = s["recency_score"].clip(
        lower=stage.map({"new": 3, "repeat": 3, "loyal": 3}).fillna(1),
        upper=stage.map({"at_risk": 3, "lapsed": 2}).fillna(5),
    )
    worth = (s["frequency_score"] + s["monetary_score"] + 1) // 2
    worth = worth.clip(lower=stage.map({"loyal": 3}).fillna(1), upper=stage.map({"new": 3}).fillna(5))
    worth = worth.clip(
        lower=tier.map({"A": 3}).fillna(1),
        upper=pd.Series(np.where((tier == "D") & (stage != "lapsed"), 3, 5), f.index),
    )
    names = {r * 10 + w: name for r, row in enumerate(GRID, 1) for w, name in enumerate(row, 1)}
    s["rfm_segment"] = (row * 10 + worth).map(names)
    centres = bounds[bounds["kind"] == "taste"].pivot(index="label", columns="category", values="bound")
    spent = categories[(categories["spend"] > 0) & categories["category"].isin(centres.columns)]
    shares = spent.pivot(index=KEY, columns="category", values="share")
    shares = shares.reindex(columns=centres.columns).fillna(0)
    distances = ((centres**2).sum(axis=1) - 2 * shares @ centres.T).round(9)
    s["taste_cluster"] = distances.idxmin(axis=1) if len(distances) else None
    return s
