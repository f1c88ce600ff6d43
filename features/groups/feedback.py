"""Reviews, complaints and answers to surveys, without their texts.

A review is identified by product and moment, a complaint by its reference, or by its moment if it has none. A
complaint is open until its reference is resolved, at its latest opening or later. Repeated events count once;
of two ratings of one review, the lower one counts. A rating that is not a number or is outside its scale is
ignored, but its review counts.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup

STARS = (1, 5)
SCORES = (0, 10)
LOW = 2  # stars

feedback = FeatureGroup("feedback", fresh_for=timedelta(days=2))


def _number(events: ir.Table, name: str, scale: tuple[int, int]) -> ir.Value:
    """A property as a number, also from text; null if it is not a number or is outside its scale.

    A decimal, so that sums do not depend on the order of rows.
    """
    written = events.properties.cast("json")[name].cast("string")
    number = written.replace('"', "").try_cast("decimal(9, 4)")
    return ibis.ifelse(number.between(*scale), number, None)


def _newest(table: ir.Table, value: str) -> ir.Table:
    """Rows with a value, and their place by time: of equal moments the lower value comes first."""
    known = table.filter(table[value].notnull())
    order = [known.timestamp.desc(), known[value]]
    return known.mutate(place=ibis.row_number().over(group_by=list(KEYS), order_by=order))


@feedback.table
def reviews(activities: ir.Table) -> ir.Table:
    """One row per review, with its stars, 1 to 5, if it has any."""
    reviewed = activities.filter(activities.kind == "reviewed")
    reviewed = reviewed.mutate(rating=_number(reviewed, "rating", STARS))
    return reviewed.group_by([*KEYS, "timestamp", "product_id"]).aggregate(
        days_ago=reviewed.days_ago.max(), rating=reviewed.rating.min()
    )


@feedback.table
def ratings(reviews: ir.Table) -> ir.Table:
    """One row per review with stars, and its place by time."""
    return _newest(reviews, "rating")


@feedback.table
def surveys(activities: ir.Table) -> ir.Table:
    """One row per survey answered with a score, 0 to 10, and its place by time."""
    answered = activities.filter(activities.kind == "survey_answered")
    answered = answered.mutate(score=_number(answered, "score", SCORES))
    return _newest(answered, "score")


@feedback.table
def complaints(activities: ir.Table) -> ir.Table:
    """One row per complaint: how long ago it was last opened, and whether it is open."""
    complaint_events = activities.filter(activities.kind.isin(("complaint_opened", "complaint_resolved")))
    resolved = complaint_events.timestamp.max(where=complaint_events.kind == "complaint_resolved")
    complaint_events = complaint_events.mutate(resolved_at=resolved.over(group_by=[*KEYS, "reference"]))
    opened = complaint_events.filter(complaint_events.kind == "complaint_opened")
    opened = opened.mutate(alone_at=ibis.ifelse(opened.reference.isnull(), opened.timestamp, None))
    by_complaint = opened.group_by([*KEYS, "reference", "alone_at"]).aggregate(
        days_ago=opened.days_ago.min(), opened_at=opened.timestamp.max(), resolved_at=opened.resolved_at.max()
    )
    return by_complaint.mutate(
        is_open=by_complaint.resolved_at.isnull() | (by_complaint.resolved_at < by_complaint.opened_at)
    )


@feedback.feature(unit="reviews", missing=0)
def reviews_365d(reviews: ir.Table) -> ir.IntegerValue:
    """Reviews written in the last 365 days."""
    return reviews.count(where=reviews.days_ago <= 365)


@feedback.feature(unit="days")
def days_since_review(reviews: ir.Table) -> ir.IntegerValue:
    """Days since the latest review; null when there was none."""
    return reviews.days_ago.min()


@feedback.feature(unit="stars")
def mean_rating_365d(reviews: ir.Table) -> ir.FloatingValue:
    """Mean stars, 1 to 5, of the last 365 days' reviews; null when none of them has any."""
    return reviews.rating.mean(where=reviews.days_ago <= 365)


@feedback.feature(unit="stars")
def lowest_rating_365d(reviews: ir.Table) -> ir.FloatingValue:
    """Fewest stars, 1 to 5, among the last 365 days' reviews; null when none of them has any."""
    return reviews.rating.min(where=reviews.days_ago <= 365)


@feedback.feature(unit="stars")
def last_rating(ratings: ir.Table) -> ir.FloatingValue:
    """Stars, 1 to 5, of the latest review that has any, of several at that moment the fewest."""
    return ratings.rating.max(where=ratings.place == 0)


@feedback.feature(unit="reviews", missing=0)
def low_ratings_365d(reviews: ir.Table) -> ir.IntegerValue:
    """Reviews of the last 365 days with one or two stars."""
    return reviews.count(where=(reviews.rating <= LOW) & (reviews.days_ago <= 365))


@feedback.feature(unit="complaints", missing=0)
def complaints_365d(complaints: ir.Table) -> ir.IntegerValue:
    """Complaints opened in the last 365 days."""
    return complaints.count(where=complaints.days_ago <= 365)


@feedback.feature(unit="complaints", missing=0)
def open_complaints(complaints: ir.Table) -> ir.IntegerValue:
    """Complaints that were opened, whenever, and not resolved since."""
    return complaints.count(where=complaints.is_open)


@feedback.feature(unit="days")
def days_since_complaint(complaints: ir.Table) -> ir.IntegerValue:
    """Days since a complaint was last opened; null when none ever was."""
    return complaints.days_ago.min()


@feedback.feature(unit="score")
def last_survey_score(surveys: ir.Table) -> ir.FloatingValue:
    """Score, 0 to 10, of the latest answer to a survey that has one, of several at that moment the lowest."""
    return surveys.score.max(where=surveys.place == 0)


@feedback.feature(unit="days")
def days_since_survey(surveys: ir.Table) -> ir.IntegerValue:
    """Days since the latest answer to a survey with a score; null when there was none."""
    return surveys.days_ago.min()
