"""The features as SQL written by hand: what there is to compute, for DuckDB alone and no catalogue.

One query per moment over the lake's files, sharing among features what they have in common. Boundaries
are given, as the product stores them, and so is what texts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb

_SEEN = "timestamp < $as_of AND received_at <= $as_of"

QUERY = f"""
WITH lines AS (
    SELECT customer_key, timestamp, order_id, product_id, category, quantity, amount, discount, day,
        $today - day AS days_ago
    FROM read_parquet($order_lines) WHERE {_SEEN}
), told AS (
    SELECT customer_key, timestamp, day, name, value FROM read_parquet($traits) WHERE {_SEEN}
), seen_refunds AS (
    SELECT customer_key, amount, $today - day AS days_ago FROM read_parquet($refunds) WHERE {_SEEN}
), acts AS (
    SELECT customer_key, timestamp, day, hour, kind, channel, reference, product_id, category, amount,
        properties, $today - day AS days_ago
    FROM read_parquet($activities) WHERE {_SEEN}
), population AS (
    SELECT customer_key FROM lines UNION SELECT customer_key FROM told UNION SELECT customer_key FROM acts
), orders AS (
    SELECT customer_key, order_id, max(days_ago) AS days_ago, min(day) AS day, sum(amount) AS amount,
        sum(quantity) AS items, coalesce(sum(discount), 0) AS discount,
        sum(amount) FILTER (coalesce(discount, 0) = 0) AS full_price,
        max(amount / quantity) FILTER (amount > 0 AND quantity > 0) AS dearest,
        min(amount / quantity) FILTER (amount > 0 AND quantity > 0) AS cheapest
    FROM lines GROUP BY ALL
), rhythm AS (
    SELECT *, lag(days_ago) OVER (PARTITION BY customer_key ORDER BY days_ago DESC, order_id) - days_ago
        AS gap
    FROM orders
), by_orders AS (
    SELECT customer_key,
        count(*) AS orders_total,
        count(*) FILTER (days_ago <= 30) AS orders_30d,
        count(*) FILTER (days_ago <= 90) AS orders_90d,
        count(*) FILTER (days_ago <= 365) AS orders_365d,
        min(days_ago) AS recency_days,
        max(days_ago) AS tenure_days,
        sum(amount) AS spend_total,
        sum(amount) FILTER (days_ago <= 90) AS spend_90d,
        sum(amount) FILTER (days_ago <= 365) AS spend_365d,
        max(amount) AS largest_order,
        sum(items) AS items_total,
        median(gap) AS median_gap_days,
        max(gap) AS longest_gap_days,
        stddev_samp(gap) AS gap_spread_days,
        avg(((day + 3) % 7 >= 5)::INT) AS weekend_share,
        sum(discount) / nullif((sum(amount) + sum(discount))::DOUBLE, 0) AS discount_share,
        sum(discount) FILTER (days_ago <= 365)
            / nullif((sum(amount + discount) FILTER (days_ago <= 365))::DOUBLE, 0) AS discount_share_365d,
        coalesce(sum(full_price), 0) / nullif(sum(amount)::DOUBLE, 0) AS full_price_share,
        avg(amount) FILTER (discount > 0) / nullif(avg(amount) FILTER (discount = 0), 0)
            AS discounted_order_ratio,
        min(days_ago) FILTER (discount > 0) AS days_since_discounted_order,
        sum(amount) / nullif(sum(items)::DOUBLE, 0) AS average_unit_price,
        max(dearest) / min(cheapest) AS unit_price_ratio
    FROM rhythm GROUP BY 1
), products AS (
    SELECT customer_key, product_id, count(DISTINCT order_id) AS orders FROM lines GROUP BY ALL
), by_products AS (
    SELECT customer_key, count(product_id) AS distinct_products,
        (sum(orders) - count(*)) / sum(orders)::DOUBLE AS repeat_product_share
    FROM products GROUP BY 1
), categories AS (
    SELECT customer_key, category, max(days_ago) AS days_ago, sum(amount) AS spend,
        coalesce(sum(amount) FILTER (days_ago <= 90), 0) AS spend_90d,
        spend / nullif(sum(spend) OVER (PARTITION BY customer_key)::DOUBLE, 0) AS share
    FROM lines WHERE category IS NOT NULL GROUP BY 1, 2
), by_categories AS (
    SELECT customer_key, min((-spend, category)) FILTER (spend > 0)[2] AS favourite_category,
        max(spend) / nullif(sum(spend)::DOUBLE, 0) AS favourite_category_share,
        count(*) AS distinct_categories,
        coalesce(sum(spend_90d) FILTER (days_ago <= 90), 0) / nullif(sum(spend_90d)::DOUBLE, 0)
            AS new_category_share_90d,
        min(days_ago) AS days_since_new_category,
        sum(-share * log2(nullif(share, 0))) AS category_entropy
    FROM categories GROUP BY 1
), by_refunds AS (
    SELECT customer_key, sum(amount) AS refunded_total,
        sum(amount) FILTER (days_ago <= 365) AS refunded_365d, min(days_ago) AS days_since_refund
    FROM seen_refunds GROUP BY 1
), by_traits AS (
    SELECT customer_key,
        arg_max(value, (timestamp, value)) FILTER (name = 'country' AND value IS NOT NULL) AS country,
        arg_max(value, (timestamp, value)) FILTER (name = 'channel' AND value IS NOT NULL)
            AS acquisition_channel,
        arg_max(value, (timestamp, value)) FILTER (name = 'newsletter' AND value IS NOT NULL) = 'true'
            AS newsletter
    FROM told GROUP BY 1
), by_first AS (
    SELECT customer_key, $today - min(day) AS known_days FROM (
        SELECT customer_key, day FROM lines UNION ALL SELECT customer_key, day FROM told
        UNION ALL SELECT customer_key, day FROM acts
    ) GROUP BY 1
), moments AS (
    SELECT customer_key, timestamp, max(days_ago) AS days_ago, max(hour) AS hour,
        bool_or(kind IN ('cart_added', 'checkout')) AS fills,
        coalesce(timestamp - INTERVAL 30 MINUTE >= lag(timestamp) OVER by_time, true) AS begins
    FROM acts WHERE kind IN ('page', 'screen', 'app_opened', 'viewed', 'listed', 'searched', 'cart_viewed',
        'cart_added', 'cart_removed', 'checkout')
    GROUP BY customer_key, timestamp WINDOW by_time AS (PARTITION BY customer_key ORDER BY timestamp)
), visits AS (
    SELECT customer_key, visit, max(days_ago) AS days_ago, arg_min(hour, timestamp) AS hour,
        max(timestamp) FILTER (fills) AS filled_at, min(days_ago) FILTER (fills) AS filled_days_ago
    FROM (SELECT *, count(*) FILTER (begins) OVER (PARTITION BY customer_key ORDER BY timestamp) AS visit
        FROM moments)
    GROUP BY 1, 2
), carts AS (
    SELECT v.customer_key, v.filled_days_ago AS days_ago,
        l.timestamp IS NULL OR l.timestamp > v.filled_at + INTERVAL 24 HOUR AS abandoned
    FROM (FROM visits WHERE filled_days_ago >= 2) v
        ASOF LEFT JOIN lines l ON l.customer_key = v.customer_key AND l.timestamp >= v.filled_at
), by_visits AS (
    SELECT customer_key,
        count(*) FILTER (days_ago <= 7) AS visits_7d,
        count(*) FILTER (days_ago <= 30) AS visits_30d,
        count(*) FILTER (days_ago <= 90) AS visits_90d,
        min(days_ago) AS days_since_visit,
        visits_30d * 3 / nullif(visits_90d, 0) AS visit_trend,
        count(filled_at) FILTER (days_ago <= 90) / nullif(visits_90d, 0) AS cart_visit_share_90d,
        count(*) FILTER (filled_days_ago <= 90) AS carts_90d
    FROM visits GROUP BY 1
), by_visit_hours AS (
    SELECT customer_key, min((-n, hour))[2] AS usual_visit_hour
    FROM (SELECT customer_key, hour, count(*) AS n FROM visits WHERE days_ago <= 90 GROUP BY 1, 2) GROUP BY 1
), by_carts AS (
    SELECT customer_key,
        count(*) FILTER (abandoned AND days_ago <= 90) AS abandoned_carts_90d,
        abandoned_carts_90d / nullif(count(*) FILTER (days_ago <= 90), 0) AS cart_abandonment_share_90d,
        min(days_ago) FILTER (abandoned) AS days_since_abandoned_cart
    FROM carts GROUP BY 1
), views AS (
    SELECT customer_key, timestamp, product_id, max(days_ago) AS days_ago, min(category) AS category
    FROM acts WHERE kind = 'viewed' GROUP BY 1, 2, 3
), by_views AS (
    SELECT customer_key, count(*) FILTER (days_ago <= 30) AS product_views_30d,
        count(DISTINCT product_id) FILTER (days_ago <= 90) AS products_viewed_90d
    FROM views GROUP BY 1
), by_viewed AS (
    SELECT customer_key, min((-n, category))[2] AS most_viewed_category_90d,
        max(n) / sum(n) AS most_viewed_category_share_90d
    FROM (SELECT customer_key, category, count(*) AS n FROM views
        WHERE days_ago <= 90 AND category IS NOT NULL GROUP BY 1, 2) GROUP BY 1
), by_searches AS (
    SELECT customer_key, count(DISTINCT timestamp) AS searches_30d
    FROM acts WHERE kind = 'searched' AND days_ago <= 30 GROUP BY 1
), marked AS (
    SELECT *, kind = 'sent' AND coalesce(day > max(day) FILTER (kind = 'sent') OVER before, true) AS begins
    FROM (SELECT DISTINCT customer_key, channel, reference, timestamp, day, days_ago, hour, kind FROM acts
        WHERE kind IN ('sent', 'opened', 'clicked', 'bounced'))
    WINDOW before AS (PARTITION BY customer_key, channel, reference ORDER BY timestamp, kind <> 'sent', kind
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), messages AS (
    SELECT customer_key, channel, reference, number, bool_or(kind = 'bounced') AS bounced,
        CASE WHEN NOT bounced THEN min(timestamp) FILTER (kind = 'sent') END AS sent_at,
        CASE WHEN NOT bounced THEN max(days_ago) FILTER (kind = 'sent') END AS sent_days_ago,
        max(timestamp) FILTER (kind IN ('opened', 'clicked')) AS responded_at,
        min(days_ago) FILTER (kind IN ('opened', 'clicked')) AS opened_days_ago,
        min(days_ago) FILTER (kind = 'clicked') AS clicked_days_ago,
        max(responded_at) OVER (PARTITION BY customer_key) AS latest
    FROM (SELECT *, count(*) FILTER (begins) OVER (PARTITION BY customer_key, channel, reference
        ORDER BY timestamp, kind <> 'sent', kind) AS number FROM marked)
    GROUP BY 1, 2, 3, 4
), by_messages AS (
    SELECT customer_key,
        count(*) FILTER (sent_days_ago <= 7) AS contacts_7d,
        count(*) FILTER (sent_days_ago <= 30) AS contacts_30d,
        count(*) FILTER (sent_days_ago <= 90) AS contacts_90d,
        count(*) FILTER (sent_days_ago <= 90 AND channel = 'email') AS emails_90d,
        count(*) FILTER (opened_days_ago <= 30) AS opened_30d,
        count(*) FILTER (opened_days_ago <= 90) AS opened_90d,
        count(*) FILTER (clicked_days_ago <= 90) AS clicked_90d,
        count(opened_days_ago) FILTER (sent_days_ago <= 90) / nullif(contacts_90d, 0) AS open_rate_90d,
        count(clicked_days_ago) FILTER (sent_days_ago <= 90) / nullif(contacts_90d, 0) AS click_rate_90d,
        count(opened_days_ago) FILTER (sent_days_ago <= 90 AND channel = 'email') / nullif(emails_90d, 0)
            AS email_open_rate_90d,
        min(sent_days_ago) AS days_since_contact,
        min(opened_days_ago) AS days_since_open,
        min(clicked_days_ago) AS days_since_click,
        count(*) FILTER (sent_at IS NOT NULL AND (latest IS NULL OR sent_at > latest)) AS ignored_in_a_row
    FROM messages GROUP BY 1
), by_channels AS (
    SELECT customer_key,
        arg_min(CASE WHEN opened > 0 THEN channel END, (-clicked / sent, -opened / sent, channel))
            AS preferred_channel_365d
    FROM (SELECT customer_key, channel, count(*) AS sent, count(opened_days_ago) AS opened,
        count(clicked_days_ago) AS clicked
        FROM messages WHERE sent_days_ago <= 365 AND channel IS NOT NULL GROUP BY 1, 2) GROUP BY 1
), by_response_hours AS (
    SELECT customer_key, min((-n, hour))[2] AS preferred_hour_365d
    FROM (SELECT customer_key, hour, count(DISTINCT timestamp) AS n FROM marked
        WHERE kind IN ('opened', 'clicked') AND days_ago <= 365 GROUP BY 1, 2) GROUP BY 1
), by_refusals AS (
    SELECT customer_key, bool_or(kind = 'unsubscribed' AND coalesce(channel = 'email', false))
            AS unsubscribed_email,
        bool_or(kind = 'marked_as_spam') AS marked_as_spam,
        min(days_ago) FILTER (kind IN ('unsubscribed', 'marked_as_spam')) AS days_since_opt_out
    FROM acts WHERE kind IN ('sent', 'opened', 'clicked', 'unsubscribed', 'bounced', 'marked_as_spam')
    GROUP BY 1
), paid_for AS (
    SELECT customer_key, reference, timestamp, kind, days_ago, amount,
        kind IN ('subscription_started', 'subscription_renewed') AS paid,
        nullif((properties->>'$.period_months')::INT, 0) AS months,
        date_diff('day', DATE '1970-01-01', coalesce((properties->>'$.ends_at')::DATE,
            CASE WHEN paid THEN DATE '1970-01-01' + day + to_months(months) END)) - $today AS until,
        max(timestamp) FILTER (kind = 'subscription_started') OVER one AS started_at,
        max(timestamp) FILTER (paid) OVER one AS paid_at,
        coalesce(timestamp >= paid_at, true) AS stands
    FROM acts WHERE kind LIKE 'subscription%' WINDOW one AS (PARTITION BY customer_key, reference)
), held AS (
    SELECT customer_key, max(days_ago) AS began,
        count(DISTINCT timestamp) FILTER (kind = 'subscription_renewed') AS renewals,
        max(until) FILTER (paid AND timestamp = paid_at) AS paid_until,
        min(days_ago) FILTER (paid AND timestamp = paid_at) AS paid_ago,
        -max(days_ago) FILTER (stands AND kind = 'subscription_cancelled') AS noticed,
        -max(days_ago) FILTER (stands AND kind = 'subscription_ended') AS ended,
        coalesce(ended, max(until) FILTER (stands AND kind = 'subscription_cancelled'),
            CASE WHEN noticed IS NULL THEN paid_until ELSE greatest(paid_until, noticed) END) AS ends_in,
        coalesce(max(months) FILTER (paid AND timestamp = paid_at),
            CASE WHEN paid_until IS NOT NULL THEN greatest(round((paid_until + paid_ago) * 16 / 487), 1) END)
            AS months,
        max(amount) FILTER (paid AND timestamp = paid_at) AS amount,
        ended IS NULL AND coalesce(ends_in > CASE WHEN noticed IS NULL THEN -14 ELSE 0 END, true) AS active
    FROM paid_for WHERE timestamp >= coalesce(started_at, timestamp) GROUP BY customer_key, reference
), by_subscriptions AS (
    SELECT customer_key,
        count(*) FILTER (active) AS active_subscriptions,
        count(*) FILTER (active AND noticed IS NULL) AS renewing_subscriptions,
        max(began) FILTER (active) AS subscription_tenure_days,
        sum(renewals) FILTER (active) AS subscription_renewals,
        min(ends_in) FILTER (active) AS subscription_days_left,
        max(months) FILTER (active) AS subscription_period_months,
        sum(floor(amount * 10000 / coalesce(months, 1))) FILTER (active) / 10000
            AS subscription_monthly_amount,
        count(*) FILTER (NOT active) AS subscriptions_ended,
        min(-ends_in) FILTER (NOT active) AS days_since_subscription_end
    FROM held GROUP BY 1
), by_cancellations AS (
    SELECT customer_key, min(days_ago) AS days_since_cancellation
    FROM paid_for WHERE kind = 'subscription_cancelled' GROUP BY 1
), reviews AS (
    SELECT customer_key, timestamp, product_id, max(days_ago) AS days_ago, min(rating) AS rating
    FROM (SELECT *, CASE WHEN try_cast(properties->>'rating' AS DOUBLE) BETWEEN 1 AND 5
            THEN try_cast(properties->>'rating' AS DOUBLE) END AS rating FROM acts WHERE kind = 'reviewed')
    GROUP BY 1, 2, 3
), by_reviews AS (
    SELECT customer_key, count(*) FILTER (days_ago <= 365) AS reviews_365d,
        min(days_ago) AS days_since_review,
        avg(rating) FILTER (days_ago <= 365) AS mean_rating_365d,
        min(rating) FILTER (days_ago <= 365) AS lowest_rating_365d,
        arg_min(rating, (-epoch_us(timestamp), rating)) FILTER (rating IS NOT NULL) AS last_rating,
        count(*) FILTER (days_ago <= 365 AND rating <= 2) AS low_ratings_365d
    FROM reviews GROUP BY 1
), by_surveys AS (
    SELECT customer_key, min(days_ago) AS days_since_survey,
        arg_min(score, (-epoch_us(timestamp), score)) AS last_survey_score
    FROM (SELECT *, try_cast(properties->>'score' AS DOUBLE) AS score FROM acts
        WHERE kind = 'survey_answered') WHERE score BETWEEN 0 AND 10 GROUP BY 1
), complaints AS (
    SELECT customer_key, min(days_ago) AS days_ago,
        coalesce(max(resolved_at) < max(timestamp), true) AS is_open
    FROM (SELECT *, max(timestamp) FILTER (kind = 'complaint_resolved')
            OVER (PARTITION BY customer_key, reference) AS resolved_at
        FROM acts WHERE kind IN ('complaint_opened', 'complaint_resolved'))
    WHERE kind = 'complaint_opened'
    GROUP BY customer_key, reference, CASE WHEN reference IS NULL THEN timestamp END
), by_complaints AS (
    SELECT customer_key, count(*) FILTER (days_ago <= 365) AS complaints_365d,
        count(*) FILTER (is_open) AS open_complaints, min(days_ago) AS days_since_complaint
    FROM complaints GROUP BY 1
), told_texts AS (
    SELECT DISTINCT customer_key, timestamp, $today - day AS days_ago, kind, reference, product_id, content,
        confidence, topics, content < 0.5 AS discontent,
        kind = 'complaint_opened' OR coalesce(content < 0.5, false) AS complains
    FROM read_parquet($opinions) WHERE {_SEEN}
), by_texts AS (
    SELECT customer_key,
        count(*) FILTER (days_ago <= 365) AS texts_365d,
        sum(content * confidence) FILTER (days_ago <= 365)
            / nullif(sum(confidence) FILTER (days_ago <= 365), 0) AS mean_content_365d,
        min(content) FILTER (days_ago <= 365) AS least_content_365d,
        arg_min((content, confidence), (-epoch_us(timestamp), content)) FILTER (content IS NOT NULL) AS last,
        count(*) FILTER (days_ago <= 365 AND discontent)
            / nullif(count(content) FILTER (days_ago <= 365), 0) AS discontent_share_365d,
        count(*) FILTER (days_ago <= 365 AND complains AND contains(topics, ',delivery,'))
            AS delivery_complaints_365d,
        count(*) FILTER (days_ago <= 365 AND complains AND contains(topics, ',quality,'))
            AS quality_complaints_365d,
        count(*) FILTER (days_ago <= 365 AND complains AND contains(topics, ',service,'))
            AS service_complaints_365d
    FROM told_texts GROUP BY 1
), by_topics AS (
    SELECT customer_key, min((-n, topic))[2] AS top_topic_365d,
        min((-complaining, topic)) FILTER (complaining > 0)[2] AS top_complaint_topic_365d
    FROM (SELECT customer_key, topic, count(*) AS n, count(*) FILTER (complains) AS complaining
        FROM (SELECT customer_key, complains, unnest(string_split(topics, ',')) AS topic FROM told_texts
            WHERE days_ago <= 365)
        WHERE topic <> '' GROUP BY 1, 2) GROUP BY 1
), in_force AS (
    SELECT kind, label, category, bound FROM read_parquet($boundaries) WHERE valid_from <= $as_of
    QUALIFY valid_from = max(valid_from) OVER (PARTITION BY kind)
), bounds AS (
    SELECT list(bound) FILTER (kind = 'recency') AS recency,
        list(bound) FILTER (kind = 'frequency') AS frequency,
        list(bound) FILTER (kind = 'money') AS money, list(bound) FILTER (kind = 'tier') AS tier
    FROM in_force
), lengths AS (
    SELECT label, sum(bound * bound) AS length FROM in_force WHERE kind = 'taste' GROUP BY 1
), likeness AS (
    SELECT customer_key, label, sum(share * bound) AS product
    FROM categories JOIN in_force USING (category) WHERE kind = 'taste' AND spend > 0 GROUP BY ALL
), by_taste AS (
    SELECT customer_key, arg_min(label, (round(length - 2 * product, 9), label)) AS taste_cluster
    FROM likeness JOIN lengths USING (label) GROUP BY 1
), facts AS (
    SELECT customer_key,
        coalesce(orders_total, 0) AS orders_total, coalesce(orders_30d, 0) AS orders_30d,
        coalesce(orders_90d, 0) AS orders_90d, coalesce(orders_365d, 0) AS orders_365d,
        recency_days, tenure_days, coalesce(spend_total, 0)::DOUBLE AS spend_total,
        coalesce(spend_90d, 0)::DOUBLE AS spend_90d, coalesce(spend_365d, 0)::DOUBLE AS spend_365d,
        largest_order::DOUBLE AS largest_order, coalesce(items_total, 0)::BIGINT AS items_total,
        coalesce(distinct_products, 0) AS distinct_products, median_gap_days, longest_gap_days,
        gap_spread_days, weekend_share, category_entropy,
        coalesce(refunded_total, 0)::DOUBLE AS refunded_total,
        coalesce(refunded_365d, 0)::DOUBLE AS refunded_365d, days_since_refund,
        discount_share, discount_share_365d, full_price_share, discounted_order_ratio,
        days_since_discounted_order, average_unit_price, unit_price_ratio, favourite_category,
        favourite_category_share, coalesce(distinct_categories, 0) AS distinct_categories,
        new_category_share_90d, days_since_new_category, repeat_product_share,
        country, acquisition_channel, newsletter, known_days, taste_cluster,
        coalesce(visits_7d, 0) AS visits_7d, coalesce(visits_30d, 0) AS visits_30d,
        coalesce(visits_90d, 0) AS visits_90d, days_since_visit, visit_trend, usual_visit_hour,
        coalesce(product_views_30d, 0) AS product_views_30d,
        coalesce(products_viewed_90d, 0) AS products_viewed_90d, most_viewed_category_90d,
        most_viewed_category_share_90d, coalesce(searches_30d, 0) AS searches_30d, cart_visit_share_90d,
        coalesce(carts_90d, 0) AS carts_90d, coalesce(abandoned_carts_90d, 0) AS abandoned_carts_90d,
        cart_abandonment_share_90d, days_since_abandoned_cart,
        coalesce(contacts_7d, 0) AS contacts_7d, coalesce(contacts_30d, 0) AS contacts_30d,
        coalesce(contacts_90d, 0) AS contacts_90d, coalesce(emails_90d, 0) AS emails_90d,
        coalesce(opened_30d, 0) AS opened_30d, coalesce(opened_90d, 0) AS opened_90d,
        coalesce(clicked_90d, 0) AS clicked_90d, open_rate_90d, click_rate_90d, email_open_rate_90d,
        days_since_contact, days_since_open, days_since_click,
        coalesce(ignored_in_a_row, 0) AS ignored_in_a_row, preferred_channel_365d, preferred_hour_365d,
        unsubscribed_email, marked_as_spam, days_since_opt_out,
        coalesce(active_subscriptions, 0) AS active_subscriptions,
        coalesce(renewing_subscriptions, 0) AS renewing_subscriptions, subscription_tenure_days,
        coalesce(subscription_renewals, 0)::BIGINT AS subscription_renewals, subscription_days_left,
        subscription_period_months::BIGINT AS subscription_period_months,
        coalesce(subscription_monthly_amount, 0) AS subscription_monthly_amount,
        coalesce(subscriptions_ended, 0) AS subscriptions_ended,
        days_since_subscription_end, days_since_cancellation,
        coalesce(reviews_365d, 0) AS reviews_365d, days_since_review, mean_rating_365d, lowest_rating_365d,
        last_rating, coalesce(low_ratings_365d, 0) AS low_ratings_365d,
        coalesce(complaints_365d, 0) AS complaints_365d, coalesce(open_complaints, 0) AS open_complaints,
        days_since_complaint, last_survey_score, days_since_survey,
        coalesce(texts_365d, 0) AS texts_365d, mean_content_365d::DOUBLE AS mean_content_365d,
        least_content_365d::DOUBLE AS least_content_365d, last[1]::DOUBLE AS last_text_content,
        last[2]::DOUBLE AS last_text_confidence, discontent_share_365d,
        coalesce(delivery_complaints_365d, 0) AS delivery_complaints_365d,
        coalesce(quality_complaints_365d, 0) AS quality_complaints_365d,
        coalesce(service_complaints_365d, 0) AS service_complaints_365d,
        top_topic_365d, top_complaint_topic_365d
    FROM population LEFT JOIN by_orders USING (customer_key) LEFT JOIN by_products USING (customer_key)
        LEFT JOIN by_categories USING (customer_key) LEFT JOIN by_refunds USING (customer_key)
        LEFT JOIN by_traits USING (customer_key) LEFT JOIN by_first USING (customer_key)
        LEFT JOIN by_taste USING (customer_key)
        LEFT JOIN by_visits USING (customer_key) LEFT JOIN by_visit_hours USING (customer_key)
        LEFT JOIN by_carts USING (customer_key) LEFT JOIN by_views USING (customer_key)
        LEFT JOIN by_viewed USING (customer_key) LEFT JOIN by_searches USING (customer_key)
        LEFT JOIN by_messages USING (customer_key) LEFT JOIN by_channels USING (customer_key)
        LEFT JOIN by_response_hours USING (customer_key) LEFT JOIN by_refusals USING (customer_key)
        LEFT JOIN by_subscriptions USING (customer_key) LEFT JOIN by_cancellations USING (customer_key)
        LEFT JOIN by_reviews USING (customer_key) LEFT JOIN by_surveys USING (customer_key)
        LEFT JOIN by_complaints USING (customer_key) LEFT JOIN by_texts USING (customer_key)
        LEFT JOIN by_topics USING (customer_key)
), scored AS (
    SELECT f.*,
        refunded_total / nullif(spend_total, 0) AS refund_share,
        spend_365d - refunded_365d AS net_spend_365d,
        spend_total / nullif(orders_total, 0) AS average_order_value,
        recency_days / CASE WHEN median_gap_days < 1 THEN 1 ELSE median_gap_days END AS overdue_ratio,
        spend_90d / nullif(spend_365d * 90 / 365, 0) AS spend_trend,
        CASE WHEN orders_total > 0 THEN least(greatest(
            5 - len(list_filter(recency, lambda b: recency_days >= b)),
            CASE WHEN recency_days <= 30 THEN 3 ELSE 1 END),
            CASE WHEN recency_days > 180 THEN 2 WHEN recency_days > 90 THEN 3 ELSE 5 END) END
            AS recency_score,
        CASE WHEN orders_total > 0 THEN least(
            1 + len(list_filter(frequency, lambda b: orders_total >= b)),
            CASE orders_total WHEN 1 THEN 1 WHEN 2 THEN 3 WHEN 3 THEN 4 ELSE 5 END) END AS frequency_score,
        CASE WHEN orders_total > 0 THEN CASE WHEN spend_total <= refunded_total THEN 1 ELSE
            1 + len(list_filter(money, lambda b: spend_total - refunded_total >= b)) END END
            AS monetary_score,
        CASE WHEN orders_total > 0 THEN CASE WHEN spend_365d - refunded_365d <= 0 THEN 'D' ELSE
            ['C', 'C', 'B', 'A'][1 + coalesce(len(list_filter(tier, lambda b: spend_365d - refunded_365d >= b
                )), 0)] END END AS value_tier,
        greatest(coalesce(2 * median_gap_days, 90), 30) AS late_after
    FROM facts f, bounds
), staged AS (
    SELECT * EXCLUDE (late_after),
        CASE WHEN orders_total = 0 THEN 'prospect' WHEN recency_days > 180 THEN 'lapsed'
            WHEN recency_days > late_after THEN 'at_risk' WHEN orders_total = 1 THEN 'new'
            WHEN orders_365d >= 4 THEN 'loyal' ELSE 'repeat' END AS lifecycle_stage
    FROM scored
), placed AS (
    SELECT *,
        CASE WHEN lifecycle_stage IN ('new', 'repeat', 'loyal') THEN greatest(recency_score, 3)
            WHEN lifecycle_stage = 'at_risk' THEN least(recency_score, 3)
            ELSE least(recency_score, 2) END AS place,
        CASE WHEN lifecycle_stage = 'new' OR (value_tier = 'D' AND lifecycle_stage <> 'lapsed')
            THEN least((frequency_score + monetary_score + 1) // 2, 3)
            ELSE (frequency_score + monetary_score + 1) // 2 END AS upto,
        CASE WHEN lifecycle_stage = 'loyal' OR value_tier = 'A' THEN greatest(upto, 3) ELSE upto END AS worth
    FROM staged
)
SELECT * EXCLUDE (place, upto, worth),
    CASE worth
        WHEN 1 THEN ['inactive', 'hibernating', 'about_to_sleep', 'recent', 'recent'][place]
        WHEN 2 THEN ['inactive', 'hibernating', 'about_to_sleep', 'promising', 'promising'][place]
        WHEN 3 THEN ['slipping', 'slipping', 'needs_attention', 'promising', 'promising'][place]
        WHEN 4 THEN ['slipping', 'slipping', 'core', 'champions', 'champions'][place]
        WHEN 5 THEN ['cannot_lose', 'cannot_lose', 'core', 'champions', 'champions'][place]
        END AS rfm_segment
FROM placed ORDER BY customer_key
"""


def build(
    events: Path,
    opinions: Path,
    boundaries: Sequence[Path],
    as_ofs: Sequence[datetime],
    zone: str,
    out: Path,
) -> None:
    """Write a Parquet file per moment, named by its place, with all features of everyone known then."""
    out.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = ("order_lines", "refunds", "traits", "activities")
        files = {name: f"{events}/{name}/*/*.parquet" for name in tables}
        for place, as_of in enumerate(as_ofs):
            days = "(timezone($zone, $at)::DATE - DATE '1970-01-01')::INT"
            (today,) = connection.execute(f"SELECT {days}", {"zone": zone, "at": as_of}).fetchone() or (0,)
            given = {
                "as_of": as_of.replace(tzinfo=None),
                "today": today,
                "opinions": str(opinions),
                "boundaries": [str(path) for path in boundaries],
            }
            connection.execute(f"COPY ({QUERY}) TO '{out / f'{place}.parquet'}'", files | given)
