from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import duckdb
import pyarrow.parquet as pq
import pytest

from core.errors import PatronError
from core.home import Home
from events import lake
from events.schema import SCHEMAS, STORED
from events.simulation.simulate import Plan, simulate
from events.taxonomy import MEANINGS


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)


TABLES = [*SCHEMAS, "truth"]
SMALL = Plan(start=date(2023, 3, 1), customers=300, years=1.5)
END = utc(2024, 9, 1)


def shop(plan: Plan, until: datetime) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    simulate(connection, plan, until)
    connection.execute(
        "CREATE TABLE orders AS SELECT customer_id, order_id, timestamp,"
        " sum(amount + discount)::DOUBLE AS gross FROM order_lines GROUP BY ALL"
    )
    return connection


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    return connection.execute(sql).fetchall()


def number(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    return rows(connection, sql)[0][0]


@pytest.fixture(scope="module")
def small() -> duckdb.DuckDBPyConnection:
    return shop(SMALL, END)


@pytest.fixture(scope="module")
def seasonal() -> duckdb.DuckDBPyConnection:
    """Two whole years, most customers from the first on."""
    return shop(Plan(start=date(2022, 1, 1), customers=2500, years=1.0), utc(2024, 1, 1))


@pytest.fixture(scope="module")
def flat() -> duckdb.DuckDBPyConnection:
    """All days alike and no dropout but after an order: the BG/NBD model itself."""
    plan = Plan(
        start=date(2022, 1, 1),
        customers=2500,
        years=1.0,
        seasonality=0.0,
        campaign_lift=0.0,
        refund_dropout=0.0,
    )
    return shop(plan, utc(2024, 1, 1))


def test_same_seed_same_shop(small):
    again = shop(SMALL, END)
    for table in TABLES:
        assert rows(again, f"FROM {table}") == rows(small, f"FROM {table}")


def test_until_may_be_naive_or_in_any_zone(small):
    for until in (END.replace(tzinfo=None), END.astimezone(timezone(timedelta(hours=5)))):
        assert rows(shop(SMALL, until), "FROM order_lines") == rows(small, "FROM order_lines")


def test_another_seed_another_shop(small):
    other = shop(replace(SMALL, seed=8), END)
    for table in TABLES:
        assert rows(other, f"FROM {table}") != rows(small, f"FROM {table}")


@pytest.mark.parametrize(
    "until",
    [
        utc(2023, 3, 26, 1, 30),  # within the hour in which clocks go forward
        utc(2023, 10, 29, 0, 59, 59, 999_999),
        utc(2023, 12, 31, 22, 59, 59, 500_000),  # half a second before the local day ends
        utc(2024, 5, 4, 12),
    ],
)
def test_a_longer_run_repeats_the_shorter_one(small, until):
    shorter = shop(SMALL, until)
    for table in SCHEMAS:
        expected = rows(small, f"FROM {table} WHERE timestamp < '{until}'")
        assert expected
        assert rows(shorter, f"FROM {table}") == expected
    ends = ("dropped_out_at", "subscriptions_ended_at")
    cut = ", ".join(f"if({name} < '{until}', {name}, NULL) AS {name}" for name in ends)
    expected = rows(
        small,
        f"SELECT t.* REPLACE ({cut}) FROM truth t WHERE customer_id IN"
        f" (SELECT customer_id FROM traits WHERE timestamp < '{until}') ORDER BY customer_id",
    )
    assert rows(shorter, "FROM truth") == expected


def test_a_run_of_another_batch_size_is_the_same(small, monkeypatch):
    monkeypatch.setattr("events.simulation.simulate.BATCH", 7)
    again = shop(SMALL, END)
    for table in TABLES:
        assert rows(again, f"FROM {table}") == rows(small, f"FROM {table}")


@pytest.mark.parametrize("until", [utc(2020, 1, 1), utc(2023, 2, 28, 23, 0, 1)])
def test_before_the_first_customer_the_tables_are_empty(until):
    connection = shop(replace(SMALL, customers=10), until)
    for table in TABLES:
        assert rows(connection, f"FROM {table}") == []


def test_the_planned_customers_arrive_in_the_planned_years_and_more_later():
    plan = Plan(start=date(2023, 1, 1), customers=120, years=1.0)
    assert number(shop(plan, utc(2023, 12, 31, 23)), "SELECT count(*) FROM truth") == 120
    later = number(shop(plan, utc(2024, 12, 31, 23)), "SELECT count(*) FROM truth")
    assert later == pytest.approx(240, abs=2)


def test_the_lake_takes_the_tables(tmp_path, small):
    home = Home(tmp_path / "home")
    backend = lake.connect()
    simulate(backend.con, SMALL, END)
    lake.write(home, backend.con, SMALL.time_zone, {"source": "simulate"})
    events = lake.read(home, backend)
    for name, table in events.items():
        assert table.count().execute() == number(small, f"SELECT count(*) FROM {name}")
        assert table.schema().names == tuple(STORED[name])
    truth = pq.read_table(lake.current(home).folder / "truth.parquet")
    assert truth.num_rows == number(small, "SELECT count(*) FROM truth")
    assert "customer_id" not in truth.column_names


def test_columns_and_types(small):
    def described(table: str) -> dict[str, str]:
        return {name: kind for name, kind, *_ in rows(small, f"DESCRIBE {table}")}

    times = {"timestamp": "TIMESTAMP", "received_at": "TIMESTAMP"}
    text = dict.fromkeys(("order_id", "product_id", "category"), "VARCHAR")
    line = {"customer_id": "VARCHAR"} | times | text | {"quantity": "BIGINT", "amount": "DECIMAL(18,4)"}
    assert described("order_lines") == line | {"discount": "DECIMAL(18,4)"}
    assert described("refunds") == line | {"matched": "BOOLEAN"}
    assert described("traits") == {"customer_id": "VARCHAR"} | times | {"name": "VARCHAR", "value": "VARCHAR"}
    rates = dict.fromkeys(("purchase_rate_per_day", "dropout_probability"), "DOUBLE")
    given = dict.fromkeys(("name", "kind", "channel", "reference", "product_id", "category"), "VARCHAR")
    given |= {"amount": "DECIMAL(18,4)", "properties": "VARCHAR"}
    assert described("activities") == {"customer_id": "VARCHAR"} | times | given
    facts = dict.fromkeys(("order_value_mean", "refund_probability", "discount_sensitivity"), "DOUBLE")
    facts |= dict.fromkeys(("open_probability", "click_probability"), "DOUBLE")
    assert described("truth") == {"customer_id": "VARCHAR"} | rates | {
        "dropped_out_at": "TIMESTAMP"
    } | facts | {
        "favourite_category": "VARCHAR",
        "subscription_leave_probability": "DOUBLE",
        "subscriptions_ended_at": "TIMESTAMP",
    }


def test_times_are_in_order(small):
    for table in SCHEMAS:
        assert number(small, f"SELECT count(*) FROM {table} WHERE timestamp >= '{END}'") == 0
        assert number(small, f"SELECT count(*) FROM {table} WHERE received_at < timestamp") == 0
    late = number(small, "SELECT avg((received_at > timestamp)::INT) FROM order_lines")
    assert late == pytest.approx(SMALL.late_share, abs=0.03)
    after_dropout = "FROM order_lines JOIN truth USING (customer_id) WHERE timestamp > dropped_out_at"
    assert rows(small, after_dropout) == []
    arrival = "SELECT customer_id, min(timestamp) AS arrival FROM traits GROUP BY 1"
    first = f"FROM order_lines JOIN ({arrival}) USING (customer_id) WHERE timestamp < arrival"
    assert rows(small, first) == []


def test_amounts_lines_and_orders(small):
    assert rows(small, "FROM order_lines WHERE discount < 0 OR amount <= 0 OR quantity < 1") == []
    assert rows(small, "SELECT * FROM orders WHERE gross <> round(gross, 2)") == []
    per_order = "SELECT count(DISTINCT customer_id) AS c, count(DISTINCT timestamp) AS t, count(*) AS n"
    bad = f"FROM ({per_order} FROM order_lines GROUP BY order_id) WHERE c > 1 OR t > 1 OR n > 5"
    assert rows(small, bad) == []
    lines, distinct = rows(small, "SELECT count(*), count(DISTINCT (order_id, product_id)) FROM order_lines")[
        0
    ]
    assert lines == distinct
    price = "round((amount + discount) / quantity, 2)"
    prices, products = f"count(DISTINCT (product_id, {price}))", "count(DISTINCT product_id)"
    assert number(small, f"SELECT {prices} - {products} FROM order_lines") == 0
    assert number(small, "SELECT count(DISTINCT category) FROM order_lines") == 8


def test_every_refund_takes_back_a_line(seasonal):
    lines = "order_lines AS l USING (customer_id, order_id, product_id, category)"
    assert number(seasonal, "SELECT count(*) FROM refunds") > 500
    joined = number(seasonal, f"SELECT count(*) FROM refunds AS r JOIN {lines} WHERE r.matched")
    assert joined == number(seasonal, "SELECT count(*) FROM refunds")
    wrong = (
        "r.amount <= 0 OR r.amount > l.amount OR r.quantity > l.quantity"
        " OR r.timestamp < l.timestamp + INTERVAL 2 DAY OR r.timestamp > l.timestamp + INTERVAL 26 DAY"
    )
    assert number(seasonal, f"SELECT count(*) FROM refunds AS r JOIN {lines} WHERE {wrong}") == 0


def test_traits_are_told_on_arrival_and_the_newsletter_may_change(seasonal):
    given = rows(seasonal, "SELECT name, count(*), count(DISTINCT customer_id) FROM traits GROUP BY 1")
    counts = {name: (events, customers) for name, events, customers in given}
    everybody = number(seasonal, "SELECT count(*) FROM truth")
    assert counts["country"] == counts["channel"] == (everybody, everybody)
    assert counts["newsletter"][0] > counts["newsletter"][1] == everybody
    repeated = (
        "SELECT customer_id FROM traits WHERE name = 'newsletter'"
        " QUALIFY lag(value) OVER (PARTITION BY customer_id ORDER BY timestamp) = value"
    )
    assert rows(seasonal, repeated) == []


def test_some_prospects_order_later_and_some_never(seasonal):
    first = "SELECT customer_id, min(timestamp) AS first FROM orders GROUP BY 1"
    arrival = "SELECT customer_id, min(timestamp) AS arrival FROM traits GROUP BY 1"
    both = f"FROM ({arrival}) LEFT JOIN ({first}) USING (customer_id)"
    never = number(seasonal, f"SELECT avg((first IS NULL)::INT) {both}")
    later = number(seasonal, f"SELECT avg((coalesce(first - arrival > INTERVAL 1 HOUR, false))::INT) {both}")
    assert never == pytest.approx(0.12 * 0.6, abs=0.02)
    assert later == pytest.approx(0.12 * 0.4, abs=0.02)


def test_purchase_rates_are_recovered(flat):
    """Repeat orders over rate x active time is 1 in expectation, also where the rate is low or high.

    An order ends the active time and a Poisson process less its compensator is a martingale, so
    stopping there is fair. Tolerance: four standard errors, 4 / sqrt(orders).
    """
    active = (
        "SELECT customer_id, count(*) - 1 AS repeats, purchase_rate_per_day AS rate,"
        " epoch(coalesce(dropped_out_at, '2024-01-01') - min(timestamp)) / 86400 AS days"
        " FROM orders JOIN truth USING (customer_id)"
        " GROUP BY customer_id, purchase_rate_per_day, dropped_out_at"
    )
    ranked = f"SELECT *, ntile(4) OVER (ORDER BY rate) AS quarter FROM ({active})"
    quarters = rows(flat, f"SELECT sum(repeats), sum(rate * days) FROM ({ranked}) GROUP BY quarter")
    assert len(quarters) == 4
    for observed, expected in quarters:
        assert observed / expected == pytest.approx(1, abs=4 / observed**0.5)


def test_dropout_probabilities_are_recovered(flat):
    """Each order is the last with the customer's probability: dropouts = sum of it over orders."""
    tosses = (
        "SELECT dropout_probability AS p, coalesce(timestamp = dropped_out_at, false)::INT AS last"
        " FROM orders JOIN truth USING (customer_id)"
    )
    thirds = rows(
        flat, f"SELECT sum(last), sum(p), sum(p * (1 - p)) FROM ({tosses}) GROUP BY least(floor(p * 3), 2)"
    )
    assert len(thirds) == 3
    for observed, expected, variance in thirds:
        assert abs(observed - expected) < 4 * variance**0.5


def test_order_values_refunds_and_tastes_are_recovered(flat):
    ratio = "SELECT avg(gross / order_value_mean) FROM orders JOIN truth USING (customer_id)"
    assert number(flat, ratio) == pytest.approx(1, abs=0.05)
    returned = (
        "SELECT sum((order_id IN (SELECT order_id FROM refunds))::INT), sum(refund_probability)"
        " FROM orders JOIN truth USING (customer_id) WHERE timestamp < '2023-12-01'"
    )
    observed, expected = rows(flat, returned)[0]
    assert observed == pytest.approx(expected, abs=4 * expected**0.5)
    hits = "SELECT avg((category = favourite_category)::INT) FROM order_lines JOIN truth USING (customer_id)"
    assert number(flat, hits) > 0.35  # 1/8 if taste did not matter


def test_every_order_comes_out_of_a_visit_with_a_cart(small):
    before = "a.timestamp BETWEEN o.timestamp - INTERVAL 31 MINUTE AND o.timestamp"
    for kind in ("viewed", "cart_added", "checkout"):
        came = f"FROM activities a WHERE a.customer_id = o.customer_id AND a.kind = '{kind}' AND {before}"
        assert rows(small, f"FROM orders o WHERE NOT EXISTS ({came})") == []
    carts = number(small, "SELECT count(*) FROM activities WHERE kind = 'cart_added'")
    assert 1.05 < carts / number(small, "SELECT count(*) FROM orders") < 2  # the rest is left
    arrival = "SELECT customer_id, min(timestamp) AS arrival FROM traits GROUP BY 1"
    early = f"FROM activities JOIN ({arrival}) USING (customer_id) WHERE timestamp < arrival"
    assert rows(small, early) == []


def test_activities_have_the_names_kinds_and_channels_of_the_specification(small):
    given = rows(small, "SELECT DISTINCT name, kind, channel FROM activities")
    for name, kind, channel in given:
        assert kind == MEANINGS[name].kind
        assert channel in ({MEANINGS[name].channel} - {None} or {"web", "app"})
    assert len({name for name, *_ in given}) == 20


def test_emails_go_to_subscribers(seasonal):
    """The newsletter's last word before each email is yes."""
    text_value = (
        "SELECT a.customer_id, a.timestamp, t.value FROM activities a ASOF JOIN"
        " (FROM traits WHERE name = 'newsletter') t"
        " ON a.customer_id = t.customer_id AND a.timestamp >= t.timestamp"
        " WHERE a.name = 'Email Sent'"
    )
    assert rows(seasonal, f"SELECT DISTINCT value FROM ({text_value})") == [("true",)]
    left = "SELECT count(*) FROM activities WHERE name = 'Unsubscribed'"
    no = "SELECT count(*) FROM traits WHERE name = 'newsletter' AND value = 'false'"
    first = " AND timestamp > (SELECT min(timestamp) FROM traits t WHERE t.customer_id = traits.customer_id)"
    assert number(seasonal, left) == number(seasonal, no + first) > 50


def test_probabilities_to_open_and_click_are_recovered(seasonal):
    """Of emails to active customers, by thirds of the probability; tolerance: four standard errors."""
    given = "SELECT customer_id, reference, {p} AS p FROM activities JOIN truth USING (customer_id)"
    sent = given + " WHERE name = '{name}' AND timestamp < coalesce(dropped_out_at, '2023-12-01')"
    for probability, name, then in (
        ("open_probability", "Email Sent", "Email Opened"),
        ("click_probability", "Email Opened", "Email Link Clicked"),
    ):
        request = sent.format(p=probability, name=name)
        taken = f"SELECT (customer_id, reference) FROM activities WHERE name = '{then}'"
        done = f"(customer_id, reference) IN ({taken})"
        tosses = f"SELECT p, ({done})::INT AS done, ntile(3) OVER (ORDER BY p) AS third FROM ({request})"
        thirds = rows(seasonal, f"SELECT sum(done), sum(p), sum(p * (1 - p)) FROM ({tosses}) GROUP BY third")
        assert len(thirds) == 3
        for observed, expected, variance in thirds:
            assert abs(observed - expected) < 4 * variance**0.5


def test_who_dropped_out_visits_less(seasonal):
    visits = (
        "SELECT customer_id, count(*) AS n FROM activities"
        " WHERE kind IN ('page', 'screen') AND timestamp > '2023-10-01' GROUP BY 1"
    )
    still = "dropped_out_at IS NULL AS still"
    usual = (
        f"SELECT {still}, avg(coalesce(n, 0)) FROM truth LEFT JOIN ({visits}) USING (customer_id) GROUP BY 1"
    )
    assert dict(rows(seasonal, usual))[True] > 3 * dict(rows(seasonal, usual))[False] > 0


def test_subscribers_leave_as_often_as_is_true_of_them(seasonal):
    """Each paid month is a toss, with odds by what had happened before; tolerance: four standard errors.

    Of months that ended well before the end of the simulation, and none of whose orders were given back.
    """
    paid = (
        "SELECT customer_id, subscription_leave_probability AS rate, dropped_out_at AS gone,"
        " (properties::JSON->>'ends_at')::DATE AS ends,"
        " (lead(timestamp) OVER (PARTITION BY reference ORDER BY timestamp) IS NULL)::INT AS leaves"
        " FROM activities JOIN truth USING (customer_id)"
        " WHERE kind IN ('subscription_started', 'subscription_renewed') AND amount < 10"
    )
    refund = "r.customer_id = t.customer_id AND r.timestamp BETWEEN ends - INTERVAL 60 DAY AND ends"
    calm = f"FROM ({paid}) t WHERE ends < '2023-12-01' AND NOT EXISTS (FROM refunds r WHERE {refund})"
    for who, more in (("gone IS NULL", 0.0), ("gone < ends - INTERVAL 11 DAY", 0.3)):
        rate = f"(rate + {more})"
        sums = f"sum(leaves), sum({rate}), sum({rate} * (1 - {rate}))"
        observed, expected, variance = rows(seasonal, f"SELECT {sums} {calm} AND {who}")[0]
        assert observed > 50
        assert abs(observed - expected) < 4 * variance**0.5


def test_who_leaves_gives_notice_or_just_does_not_pay_again(seasonal):
    about = "FROM activities WHERE kind LIKE 'subscription%' GROUP BY reference, customer_id"
    given = (
        "SELECT customer_id, max(timestamp) FILTER (kind = 'subscription_cancelled') AS noticed,"
        f" max(timestamp) AS last, max(properties::JSON->>'ends_at')::DATE AS ends {about}"
    )
    left = f"FROM ({given}) JOIN truth USING (customer_id) WHERE subscriptions_ended_at IS NOT NULL"
    share = number(seasonal, f"SELECT avg((noticed IS NOT NULL)::INT) {left}")
    assert share == pytest.approx(0.7, abs=0.06)
    assert rows(seasonal, f"{left} AND noticed NOT BETWEEN ends - INTERVAL 11 DAY AND ends + 1") == []
    assert rows(seasonal, f"{left} AND last > subscriptions_ended_at") == []


def test_customers_say_how_content_they_are(seasonal):
    """Less where an order was returned; in two languages; a complaint is resolved after it was opened."""
    rating = "(properties->>'rating')::INT"
    review = f"SELECT customer_id, timestamp, {rating} AS rating FROM activities WHERE kind = 'reviewed'"
    just_back = "e.timestamp - r.timestamp BETWEEN INTERVAL 0 HOUR AND INTERVAL 3 HOUR"
    back = f"EXISTS (FROM refunds r WHERE r.customer_id = e.customer_id AND {just_back})"
    means = dict(rows(seasonal, f"SELECT {back}, avg(rating) FROM ({review}) e GROUP BY 1"))
    assert means[False] > means[True] + 1
    assert {stars for (stars,) in rows(seasonal, f"SELECT DISTINCT rating FROM ({review})")} == {
        1,
        2,
        3,
        4,
        5,
    }
    texts = [text for (text,) in rows(seasonal, "SELECT properties->>'review_body' FROM activities") if text]
    chinese = sum("\u4e00" <= text[0] <= "\u9fff" for text in texts)
    assert 0.05 < chinese / len(texts) < 0.3
    opened, resolved = (f"FROM activities WHERE name = 'Complaint {did}'" for did in ("Opened", "Resolved"))
    both = f"SELECT r.timestamp > o.timestamp FROM (FROM (SELECT * {opened})) o"
    both += f" JOIN (SELECT * {resolved}) r USING (customer_id, reference)"
    assert {later for (later,) in rows(seasonal, both)} == {True}
    assert (
        number(seasonal, f"SELECT count(*) {opened}") > number(seasonal, f"SELECT count(*) {resolved}") > 100
    )
    scores = "(properties->>'score')::INT"
    given = f"SELECT min({scores}), max({scores}) FROM activities WHERE kind = 'survey_answered'"
    ((lowest, highest),) = rows(seasonal, given)
    assert 0 <= lowest < highest <= 10


def test_the_orders_are_those_that_published_figures_are_about(small):
    """Streams of the activities are separate, and a change of these numbers is a change of the shop."""
    paid = "SELECT count(*), count(DISTINCT order_id), sum(amount)::VARCHAR FROM order_lines"
    assert rows(small, paid) == [(1720, 823, "50983.4500")]


def test_a_refund_drives_customers_away():
    plan = Plan(start=date(2022, 1, 1), customers=1500, years=1.0, refund_mean=0.3, refund_dropout=0.9)
    connection = shop(plan, utc(2024, 1, 1))
    left = "SELECT customer_id FROM refunds JOIN truth USING (customer_id) WHERE timestamp = dropped_out_at"
    assert number(connection, f"SELECT count(DISTINCT customer_id) FROM ({left})") > 100


def test_christmas_is_busier_than_summer(seasonal, flat):
    def december_over_july(connection: duckdb.DuckDBPyConnection) -> float:
        december, july = (f"count(*) FILTER (month(timestamp) = {m})" for m in (12, 7))
        # The second year: everybody has arrived in the first, so that only the season differs.
        return number(connection, f"SELECT {december} / {july} FROM orders WHERE year(timestamp) = 2023")

    assert december_over_july(seasonal) > 1.6
    assert december_over_july(flat) < 1.3


def test_hours_are_local():
    plan = replace(SMALL, time_zone="Asia/Tokyo", customers=1500)
    connection = shop(plan, utc(2023, 9, 1))
    local_hours = "hour(timestamp + INTERVAL 9 HOUR)"
    assert number(connection, f"SELECT mode({local_hours}) FROM orders") in (19, 20, 21)
    assert number(connection, f"SELECT avg(({local_hours} BETWEEN 1 AND 5)::INT) FROM orders") < 0.05


def test_discount_hunters_buy_in_campaigns(seasonal):
    local_week = "weekofyear(timezone('Europe/Berlin', timezone('UTC', timestamp)))"
    in_campaign = f"{local_week} IN {Plan.campaign_weeks}"
    ranked = (
        "SELECT customer_id, discount_sensitivity > median(discount_sensitivity) OVER () AS hunter FROM truth"
    )
    by_half = f"FROM orders JOIN ({ranked}) USING (customer_id) GROUP BY hunter"
    shares = dict(rows(seasonal, f"SELECT hunter, avg(({in_campaign})::INT) {by_half}"))
    assert shares[True] > 1.25 * shares[False] > 0
    discounted = rows(seasonal, f"SELECT {in_campaign}, avg((discount > 0)::INT) FROM order_lines GROUP BY 1")
    assert dict(discounted) == {False: 0, True: pytest.approx(0.65, abs=0.1)}


def test_customers_are_unequal_as_in_a_real_shop(seasonal):
    counts = "SELECT count(*) AS n FROM orders GROUP BY customer_id"
    assert 0.35 < number(seasonal, f"SELECT avg((n > 1)::INT) FROM ({counts})") < 0.55
    paid = "SELECT sum(amount)::DOUBLE AS paid FROM order_lines GROUP BY order_id"
    assert 40 < number(seasonal, f"SELECT avg(paid) FROM ({paid})") < 90


def test_progress_only_grows_and_ends_at_one():
    seen = []
    connection = duckdb.connect()
    simulate(connection, SMALL, END - timedelta(days=100), lambda _, share: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("wrong", [{"customers": 0}, {"years": 0.0}, {"order_value_shape": 1.0}])
def test_a_plan_without_sense_is_refused(wrong):
    with pytest.raises(PatronError):
        replace(SMALL, **wrong)
