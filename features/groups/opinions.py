"""Opinions in customers' texts, by the home's classifier and the lexicon of topics: how content, about what.

The texts are those of reviews, complaints and answers to surveys; repeated ones count once. An author is
discontent if the probability of being content is below one half; a complaint always counts as discontent
where complaints are counted. Features that need a classifier are null if the home has none.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup

opinions = FeatureGroup("opinions", fresh_for=timedelta(days=2))


@opinions.table
def texts(opinions: ir.Table) -> ir.Table:
    """One row per text, and its place by time among those judged; of equals the less content first."""
    by_text = opinions.select(
        *KEYS, "timestamp", "days_ago", "kind", "reference", "product_id", "content", "confidence", "topics"
    ).distinct()
    by_text = by_text.mutate(discontent=by_text.content < 0.5)
    newest_first = [by_text.content.isnull(), by_text.timestamp.desc(), by_text.content]
    place = ibis.row_number().over(group_by=list(KEYS), order_by=newest_first)
    return by_text.mutate(
        place=place, complains=(by_text.kind == "complaint_opened") | by_text.discontent.fill_null(False)
    )


@opinions.table
def topics(texts: ir.Table) -> ir.Table:
    """One row per topic of the last 365 days' texts: in how many, in how many complaining, and its places."""
    recent = texts.filter(texts.days_ago <= 365)
    each = recent.mutate(topic=recent.topics.split(",").unnest())
    each = each.filter(each.topic != "")
    by_topic = each.group_by([*KEYS, "topic"]).aggregate(texts=each.count(), complaining=each.complains.sum())
    most_first, worst_first = ([by_topic[by].desc(), by_topic.topic] for by in ("texts", "complaining"))
    one = list(KEYS)
    return by_topic.mutate(
        place=ibis.row_number().over(group_by=one, order_by=most_first),
        complaining_place=ibis.row_number().over(group_by=one, order_by=worst_first),
    )


def _complaining_of(texts: ir.Table, topic: str) -> ir.IntegerValue:
    about = texts.topics.contains(f",{topic},")
    return texts.count(where=about & texts.complains & (texts.days_ago <= 365))


@opinions.feature(unit="texts", missing=0)
def texts_365d(texts: ir.Table) -> ir.IntegerValue:
    """Texts written in the last 365 days: in reviews, complaints and surveys."""
    return texts.count(where=texts.days_ago <= 365)


@opinions.feature(unit="probability")
def mean_content_365d(texts: ir.Table) -> ir.FloatingValue:
    """Mean probability that the author of the last 365 days' texts is content, surer ones counting more.

    Weighted by confidence; null without a text that was judged.
    """
    recent = texts.days_ago <= 365
    weighted = (texts.content * texts.confidence).sum(where=recent).cast("float64")
    return weighted / texts.confidence.sum(where=recent).cast("float64").nullif(0)


@opinions.feature(unit="probability")
def least_content_365d(texts: ir.Table) -> ir.FloatingValue:
    """Lowest probability that an author was content, of the last 365 days' texts; null without one judged."""
    return texts.content.min(where=texts.days_ago <= 365)


@opinions.feature(unit="probability")
def last_text_content(texts: ir.Table) -> ir.FloatingValue:
    """Probability that the author of the latest text was content, of several at that moment the lowest."""
    return texts.content.max(where=texts.place == 0)


@opinions.feature(unit="confidence")
def last_text_confidence(texts: ir.Table) -> ir.FloatingValue:
    """How sure the latest text's judgement is: the probability of the likelier answer, 0.5 to 1."""
    return texts.confidence.max(where=texts.place == 0)


@opinions.feature(unit="share")
def discontent_share_365d(texts: ir.Table) -> ir.FloatingValue:
    """Share of the last 365 days' texts whose author was discontent; null without one that was judged."""
    recent = texts.days_ago <= 365
    judged = texts.content.count(where=recent).cast("float64")
    return texts.count(where=recent & texts.discontent).cast("float64") / judged.nullif(0)


@opinions.feature(unit="texts", missing=0)
def delivery_complaints_365d(texts: ir.Table) -> ir.IntegerValue:
    """Complaints and discontent texts of the last 365 days that speak of delivery."""
    return _complaining_of(texts, "delivery")


@opinions.feature(unit="texts", missing=0)
def quality_complaints_365d(texts: ir.Table) -> ir.IntegerValue:
    """Complaints and discontent texts of the last 365 days that speak of quality."""
    return _complaining_of(texts, "quality")


@opinions.feature(unit="texts", missing=0)
def service_complaints_365d(texts: ir.Table) -> ir.IntegerValue:
    """Complaints and discontent texts of the last 365 days that speak of service."""
    return _complaining_of(texts, "service")


@opinions.feature(unit="topic")
def top_topic_365d(topics: ir.Table) -> ir.StringValue:
    """The topic of most texts of the last 365 days, of equals the first by name."""
    return topics.topic.max(where=topics.place == 0)


@opinions.feature(unit="topic")
def top_complaint_topic_365d(topics: ir.Table) -> ir.StringValue:
    """The topic of most complaints and discontent texts of the last 365 days, of equals the first by name."""
    return topics.topic.max(where=(topics.complaining_place == 0) & (topics.complaining > 0))
