"""Made-up shops of any size, in the product's own layout of the lake.

Three years of orders, refunds, traits, visits and messages, about 50 events per customer. The customers'
order frequency is log-normal, so a few order a hundred times as often as most. Every value is a hash of its
row's number and the seed: the lake is the same each time, for any order of rows and number of threads.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import duckdb

from core.calendar import midnight
from core.home import Home
from core.shop import Clock, Shop
from events import lake
from events.lake import versions
from events.schema import SCHEMAS
from features.text import opinions
from models.text.learning import fit

ZONE, CURRENCY = "Europe/Berlin", "EUR"
EVENTS_PER_CUSTOMER = 48
END = datetime(2026, 1, 1, tzinfo=UTC)
AS_OFS = [midnight(day, ZONE) for day in (
    date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1), date(2025, 10, 1), date(2026, 1, 1)
)]  # fmt: skip

# u(row, what) is uniform in [0, 1) and independent of every other row and word.
_TOOLS = """
CREATE MACRO said(x, content) AS CASE WHEN content THEN [{content}][1 + floor({phrases} * x)::BIGINT]
    ELSE [{discontent}][1 + floor({phrases} * x)::BIGINT] END;
CREATE MACRO u(a, b) AS (hash(a, b, {seed}) % 9007199254740992) / 9007199254740992::DOUBLE;
CREATE MACRO pick(many, x) AS floor(many * x)::BIGINT;
CREATE MACRO later(t, hours) AS t + to_microseconds((hours * 3600e6)::BIGINT);
CREATE MACRO late(t, a) AS CASE WHEN u(a, 'late') < 0.1 THEN later(t, 240 * u(a, 'delay')) ELSE t END;
CREATE TEMP TABLE customers AS SELECT i, format('C{{:08d}}', i) AS customer_id,
    later(TIMESTAMP '2023-01-01', 21000 * u(i, 'joined')) AS joined,
    round(exp(ln(10) - 0.845 + 1.3 * sqrt(-2 * ln(1 - u(i, 'a'))) * cos(2 * pi() * u(i, 'b'))))::BIGINT AS n
FROM range(1, {customers} + 1) t(i);
CREATE MACRO moment(joined, a) AS
    later(joined, date_diff('hour', joined, TIMESTAMP '2025-12-30') * u(a, 'when'));
"""

_ORDER_LINES = """
CREATE TEMP TABLE order_lines AS
WITH orders AS (
    SELECT *, i || '-' || o AS number, moment(joined, i || '-' || o) AS moment
    FROM (SELECT *, unnest(range(n)) AS o FROM customers)
), lines AS (
    SELECT *, number || '/' || line AS id,
        CASE WHEN u(number || line, 'taste') < 0.5 THEN u(i, 'taste') ELSE u(number || line, 'category') END
            AS place
    FROM (SELECT *, unnest(range(1 + pick(5, u(number, 'lines')))) AS line FROM orders)
)
SELECT customer_id,
    CASE WHEN u(id, 'split') < 0.02 THEN later(moment, 20) ELSE moment END AS timestamp,
    late(timestamp, number) AS received_at, 'O' || number AS order_id,
    format('P{:02d}{:03d}', pick(24, place), pick(200, u(id, 'product') ^ 2)) AS product_id,
    CASE WHEN u(id, 'none') >= 0.03 THEN format('category {:02d}', pick(24, place)) END AS category,
    1 + pick(4, u(id, 'quantity')) AS quantity,
    greatest(0, 120 * u(id, 'amount') ^ 3 - 1)::DECIMAL(18, 2) AS amount,
    CASE WHEN u(number, 'off') < 0.3 THEN (amount * u(id, 'off'))::DECIMAL(18, 2)
        WHEN u(id, 'told') < 0.5 THEN 0 END AS discount
FROM lines
"""

_REFUNDS = """
CREATE TEMP TABLE refunds AS
SELECT customer_id, later(l.timestamp, 24 + 700 * u(id, 'returned')) AS timestamp,
    late(later(l.timestamp, 724), id) AS received_at, order_id, product_id, category, quantity, amount,
    true AS matched
FROM (SELECT *, order_id || product_id || quantity AS id FROM order_lines) l
WHERE u(id, 'back') < 0.03 AND later(l.timestamp, 724) < TIMESTAMP '2026-01-01'
"""

_TRAITS = """
CREATE TEMP TABLE traits AS
SELECT customer_id, later(joined, 4000 * u(i, name) * again) AS timestamp, timestamp AS received_at, name,
    CASE name WHEN 'country' THEN ['DE', 'AT', 'CH', 'FR', 'NL'][1 + pick(5, u(i, 'at') ^ 2)]
        WHEN 'channel' THEN ['search', 'ads', 'friend', 'store'][1 + pick(4, u(i, 'by'))]
        ELSE (u(i, again) < 0.5)::VARCHAR END AS value
FROM customers, (VALUES ('country', 0), ('channel', 0), ('newsletter', 1), ('newsletter', 2)) t(name, again)
WHERE (name <> 'newsletter' OR u(i, 'says' || again) < 0.5) AND timestamp < TIMESTAMP '2026-01-01'
"""

# Visits of a few pages, which may lead to carts, reviews and complaints; and messages, which may be opened,
# clicked and refused.
CONTENT = (
    "the quality is excellent", "fast delivery", "very happy", "polite service", "质量很好", "物流很快",
)  # fmt: skip
DISCONTENT = ("poor quality", "the delivery was late", "it broke", "rude service", "质量太差", "快递太慢")
_ACTIVITIES = """
CREATE TEMP TABLE steps AS FROM (VALUES
    (true, 0, 'Page Viewed', 'page', 1), (true, 1, 'Products Searched', 'searched', 0.3),
    (true, 2, 'Product Viewed', 'viewed', 0.9), (true, 3, 'Product Viewed', 'viewed', 0.6),
    (true, 4, 'Product Added', 'cart_added', 0.3), (true, 5, 'Checkout Started', 'checkout', 0.15),
    (true, 6, 'Product Reviewed', 'reviewed', 0.05), (true, 7, 'Survey Answered', 'survey_answered', 0.03),
    (true, 8, 'Complaint Opened', 'complaint_opened', 0.03),
    (true, 9, 'Complaint Resolved', 'complaint_resolved', 0.02),
    (false, 0, 'Email Sent', 'sent', 1), (false, 1, 'Email Bounced', 'bounced', 0.02),
    (false, 2, 'Email Opened', 'opened', 0.4), (false, 3, 'Email Link Clicked', 'clicked', 0.1),
    (false, 4, 'Unsubscribed', 'unsubscribed', 0.01),
    (false, 5, 'Email Marked as Spam', 'marked_as_spam', 0.002)
) t(visit, step, name, kind, likely);
CREATE TEMP TABLE activities AS
WITH occasions AS (
    SELECT *, i || '+' || o AS id, moment(joined, i || '+' || o) AS moment,
        u(i || '+' || o, 'visit') < 0.5 AS visit
    FROM (SELECT *, unnest(range(1 + pick(14, u(i, 'occasions') ^ 2) + n // 8)) AS o FROM customers)
)
SELECT customer_id, later(moment, step * (0.2 + u(id, 'pace'))) AS timestamp,
    late(timestamp, id) AS received_at,
    CASE WHEN visit THEN CASE WHEN u(i, 'app') < 0.3 THEN 'app' ELSE 'web' END
        WHEN u(id, 'push') < 0.2 THEN 'push' ELSE 'email' END AS channel,
    CASE WHEN channel = 'push' THEN replace(name, 'Email', 'Push Notification') ELSE name END AS name, kind,
    CASE WHEN NOT visit AND u(id, 'named') < 0.9 THEN 'M' || id WHEN visit AND step > 3 THEN 'B' || id END
        AS reference,
    CASE WHEN visit AND (step BETWEEN 2 AND 4 OR step = 6)
        THEN format('P{:02d}{:03d}', pick(24, u(id, 'place')), pick(200, u(id || step, 'product') ^ 2)) END
        AS product_id,
    CASE WHEN product_id IS NOT NULL THEN format('category {:02d}', pick(24, u(id, 'place'))) END AS category,
    CASE WHEN kind = 'cart_added' THEN (80 * u(id, 'amount'))::DECIMAL(18, 2) END AS amount,
    1 + pick(5, u(id, 'stars') ^ 0.5) AS stars,
    CASE kind WHEN 'reviewed' THEN format('{{"rating": {}, "review_body": "{}"}}', stars,
            said(u(id, 'words'), stars > 2))
        WHEN 'survey_answered' THEN format('{{"score": "{}"}}', pick(11, u(id, 'score')))
        WHEN 'complaint_opened' THEN format('{{"text": "{}"}}', said(u(id, 'words'), false))
        ELSE format('{{"id": "{}-{}", "path": "/{}"}}', id, step, coalesce(product_id, '')) END AS properties
FROM occasions JOIN steps USING (visit)
WHERE u(id || step, 'far') < likely AND timestamp < TIMESTAMP '2026-01-01'
"""

# Some customers have a monthly or yearly subscription, and some of them cancel it.
_SUBSCRIPTIONS = """
INSERT INTO activities BY NAME
WITH held AS (
    SELECT *, i || '=' || s AS id, CASE WHEN u(i || '=' || s, 'yearly') < 0.3 THEN 12 ELSE 1 END AS months,
        1 + pick(18, u(i || '=' || s, 'terms') ^ 2) AS terms
    FROM (SELECT *, unnest(range(pick(3, u(i, 'holds') ^ 4))) AS s FROM customers)
), told AS (
    SELECT *, CASE WHEN term < terms THEN joined + to_months(((term + 3 * s) * months)::INT)
        ELSE joined + to_months(((term + 3 * s) * months)::INT) - INTERVAL 9 DAY END AS timestamp,
        CASE WHEN term = 0 THEN 'Started' WHEN term < terms THEN 'Renewed'
            WHEN u(id, 'stops') < 0.5 THEN 'Cancelled' WHEN u(id, 'stops') < 0.7 THEN 'Ended' END AS what
    FROM (SELECT *, unnest(range(terms + 1)) AS term FROM held)
)
SELECT customer_id, timestamp, late(timestamp, id || term) AS received_at, 'web' AS channel,
    'Subscription ' || what AS name, 'subscription_' || lower(what) AS kind, 'S' || id AS reference,
    CASE WHEN term < terms THEN (5 + 20 * u(id, 'fee'))::DECIMAL(18, 2) * months END AS amount,
    CASE WHEN u(id, 'says') < 0.6 THEN format('{{"period_months": {}}}', months)
        WHEN u(id, 'says') < 0.9 THEN
            format('{{"ends_at": "{}"}}', (joined + to_months(((term + 3 * s + 1) * months)::INT))::DATE)
        ELSE '{}' END AS properties
FROM told WHERE what IS NOT NULL AND timestamp < TIMESTAMP '2026-01-01'
"""


def make(home: Home, events: int, seed: int = 7) -> int:
    """Fill a home with about this number of events; return the exact number."""
    home.write_shop(Shop("synthetic", ZONE, CURRENCY, Clock(END)))
    connection = lake.connect(home.path / "making").con
    for statement in (
        _TOOLS.format(
            seed=seed,
            customers=max(1, events // EVENTS_PER_CUSTOMER),
            phrases=len(CONTENT),
            content=", ".join(f"'{phrase}'" for phrase in CONTENT),
            discontent=", ".join(f"'{phrase}'" for phrase in DISCONTENT),
        ),
        _ORDER_LINES,
        _REFUNDS,
        _TRAITS,
        _ACTIVITIES,
        _SUBSCRIPTIONS,
    ):
        connection.execute(statement)
    lake.write(home, connection, ZONE, {"source": "synthetic"})
    connection.close()
    pairs = [product(phrases, repeat=2) for phrases in (DISCONTENT, CONTENT)]
    texts = [(" ".join(pair), float(label)) for label, some in enumerate(pairs) for pair in some]
    opinions.install(home, fit([text for text, _ in texts], [label for _, label in texts]).to_files())
    folder = versions.current(home).folder
    return sum(_rows(folder / name) for name in SCHEMAS)


def _rows(table: Path) -> int:
    result = duckdb.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [f"{table}/*/*.parquet"])
    (rows,) = result.fetchone() or (0,)
    return int(rows)
