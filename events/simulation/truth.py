"""The true parameters of the simulated shop: its plan, calendar, products and customers.

Customers follow the BG/NBD model (Fader, Hardie & Lee 2005, "Counting your customers the easy
way"): while active they order as a Poisson process, with rates that are gamma distributed over
customers, and each order may be the last, with probabilities that are beta distributed. As in the
modified model (Batislam, Denizel & Filiztekin 2007) the first order may be the last one too. Mean
order values are spread as in the gamma-gamma model (Fader & Hardie 2013).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from core.calendar import EPOCH, day_of, midnight
from core.errors import PatronError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COUNTRIES = {"DE": 0.62, "AT": 0.14, "CH": 0.10, "NL": 0.08, "FR": 0.06}
# Per acquisition channel: its share of the customers, what it multiplies the purchase rate by,
# and what it multiplies the mean dropout probability by.
CHANNELS = {
    "search": (0.34, 1.0, 1.0),
    "social": (0.20, 0.8, 1.25),
    "referral": (0.14, 1.3, 0.65),
    "newsletter": (0.10, 1.2, 0.8),
    "marketplace": (0.22, 0.85, 1.35),
}
# Per category: how popular it is, and its cheapest and dearest product in the shop's currency.
CATEGORIES = {
    "beauty": (0.16, 4, 90),
    "books": (0.14, 5, 60),
    "fashion": (0.18, 8, 220),
    "garden": (0.08, 5, 250),
    "kitchen": (0.13, 5, 200),
    "lighting": (0.07, 8, 240),
    "sports": (0.12, 6, 260),
    "toys": (0.12, 4, 120),
}
PRODUCTS_PER_CATEGORY = 20
WEEKDAYS = (1.06, 1.00, 0.98, 0.96, 0.88, 0.94, 1.18)  # Monday first; their mean is 1
HOURS = (8, 4, 2, 1, 1, 3, 10, 22, 36, 46, 52, 54, 54, 50, 48, 48, 50, 56, 66, 78, 84, 72, 44, 20)
DAYS_PER_YEAR = 365.25
HOURS_SO_FAR = [total / sum(HOURS) for total in accumulate(HOURS, initial=0)]


@dataclass(frozen=True)
class Plan:
    """The parameters of a simulated shop. Nothing in it depends on how long it is run.

    Attributes:
        start: the shop's first local day.
        customers: how many arrive in the first ``years`` years; they keep arriving at that rate.
        growth: the ratio of the customers who arrive in a year to those of the year before; 1 for a steady
            number, below 1 for a shop that shrinks.
        rate_mean_per_day, rate_shape: the gamma distribution of purchase rates (orders a day
            while active) before the channel's factor; the smaller the shape the more unequal.
        dropout_mean, dropout_concentration: the beta distribution of the probability to drop out
            after an order, before the channel's factor; concentration is its alpha + beta.
        refund_mean, refund_concentration: the same for the probability that an order is returned.
        refund_dropout: the further probability to drop out when the money is given back.
        order_value_mean: mean of the customers' mean order values before discounts, currency.
        order_value_shape: the shape ``q`` of the gamma-gamma model, above 1; the customers' means
            are inverse gamma distributed, the smaller ``q`` the more unequal.
        order_value_sigma: standard deviation of the logarithm of one customer's order values.
        taste_concentration: of the Dirichlet distribution of a customer's shares of categories.
        seasonality: 1 for the usual Christmas peak, quiet summer and weekdays, 0 for all days
            alike. The hours of the day keep their shape.
        campaign_weeks: ISO weeks with discounts, every year.
        campaign_discount: share of the price that a discounted line costs less.
        campaign_lift: in a campaign the purchase rate is multiplied by 1 + this times the
            customer's discount sensitivity.
        prospect_share: share of the customers who sign up without ordering.
        prospect_conversion: share of those who order later, if at all.
        prospect_wait_days: their mean wait until then.
        newsletter_change_days: mean time until a customer changes their mind about the newsletter.
        unsubscribe_share: share of the subscribers who unsubscribe soon after dropping out.
        late_share: share of the events that the company learns seconds to hours late.
        subscriber_share: share of those who order that subscribe with the first order.
    """

    start: date
    seed: int = 7
    customers: int = 6000
    years: float = 3.0
    growth: float = 1.0
    time_zone: str = "Europe/Berlin"
    currency: str = "EUR"
    rate_mean_per_day: float = 1 / 42
    rate_shape: float = 1.4
    dropout_mean: float = 0.44
    dropout_concentration: float = 0.5
    refund_mean: float = 0.09
    refund_concentration: float = 8.0
    refund_dropout: float = 0.2
    order_value_mean: float = 64.0
    order_value_shape: float = 4.0
    order_value_sigma: float = 0.45
    taste_concentration: float = 3.0
    seasonality: float = 1.0
    campaign_weeks: tuple[int, ...] = (4, 17, 30, 47)
    campaign_discount: float = 0.2
    campaign_lift: float = 2.5
    prospect_share: float = 0.12
    prospect_conversion: float = 0.4
    prospect_wait_days: float = 60.0
    newsletter_change_days: float = 1500.0
    unsubscribe_share: float = 0.25
    late_share: float = 0.12
    subscriber_share: float = 0.5

    def __post_init__(self) -> None:
        if self.customers < 1 or self.years * DAYS_PER_YEAR < 1:
            raise PatronError("a simulated shop needs at least one customer and one day")
        if self.growth <= 0:
            raise PatronError("the growth of a simulated shop must be above 0")
        if self.order_value_shape <= 1:
            raise PatronError("order_value_shape must be above 1, or there is no mean order value")


@dataclass(frozen=True)
class ShopTime:
    """The shop's days, and how much is bought on each.

    Moments are numbers of local days since the start of the plan: 1.5 is noon on the second day
    (on the two days a year on which clocks change, hours are stretched to fill the day). ``mass``
    is the season summed up to the start of each day: time as the purchase process feels it, in
    which one average day counts 1. ``campaign_mass`` is the part of it that lies in campaigns.
    ``arrival_mass`` is the same for arrivals, which grow or shrink over the years.
    """

    mass: Floats
    arrival_mass: Floats
    campaign_mass: Floats
    in_campaign: NDArray[np.bool_]
    midnights_s: Ints
    planned_mass: float

    @classmethod
    def of(cls, plan: Plan, until: datetime) -> ShopTime:
        """The days from the plan's start to the one on which ``until`` (aware) falls."""
        first = (plan.start - EPOCH).days
        days = max(day_of(until, plan.time_zone) - first + 1, 0)
        planned = round(plan.years * DAYS_PER_YEAR)
        dates = [plan.start + timedelta(days=i) for i in range(max(days, planned))]
        season = np.array([season_of(day, plan.seasonality) for day in dates])
        # cumsum adds from the left, so the same day has the same mass however long the run.
        mass = np.concatenate([[0.0], np.cumsum(season)])
        growth = plan.growth ** (np.arange(len(dates)) / DAYS_PER_YEAR)
        arrival_mass = np.concatenate([[0.0], np.cumsum(season * growth)])
        campaign = np.array([day.isocalendar().week in plan.campaign_weeks for day in dates], bool)
        midnights = [midnight(first + i, plan.time_zone).timestamp() for i in range(days + 1)]
        return cls(
            mass[: days + 1],
            arrival_mass[: days + 1],
            np.concatenate([[0.0], np.cumsum(season * campaign)])[: days + 1],
            campaign[:days],
            np.array(midnights, np.int64),
            float(arrival_mass[planned]),
        )

    @property
    def end(self) -> float:
        """The end of the last day."""
        return float(len(self.mass) - 1)

    def mass_at(self, mass: Floats, moment: float) -> float:
        """How much of ``mass`` (see the class) has gone by at a moment before the end."""
        day, hours = int(moment), moment % 1 * 24
        before, after = HOURS_SO_FAR[int(hours) : int(hours) + 2]
        share = before + (after - before) * (hours % 1)
        return float(mass[day] + (mass[day + 1] - mass[day]) * share)

    def moment_of(self, mass: Floats, gone_by: float) -> float:
        """The moment at which ``gone_by`` of ``mass`` has gone by; infinity if after the end."""
        day = int(mass.searchsorted(gone_by, "right")) - 1
        if day >= len(mass) - 1:
            return float("inf")
        share = float((gone_by - mass[day]) / (mass[day + 1] - mass[day]))
        hour = min(bisect_right(HOURS_SO_FAR, share) - 1, 23)
        before, after = HOURS_SO_FAR[hour : hour + 2]
        return day + (hour + (share - before) / (after - before)) / 24

    def utc_seconds(self, moments: Floats) -> Ints:
        """Moments before the end as whole seconds since 1970-01-01, UTC."""
        day = moments.astype(np.int64)
        start = self.midnights_s[day]
        return start + ((moments - day) * (self.midnights_s[day + 1] - start)).astype(np.int64)


def season_of(day: date, seasonality: float) -> float:
    """What the season multiplies purchase rates by on ``day``; close to 1 over a year."""
    of_year = day.timetuple().tm_yday
    christmas = 0.9 * np.exp(-(((of_year - 343) / 16) ** 2))
    summer = -0.3 * np.exp(-(((of_year - 205) / 40) ** 2))
    usual = (0.985 + christmas + summer) * WEEKDAYS[day.weekday()]
    return 1 + seasonality * (float(usual) - 1)


@dataclass(frozen=True)
class Customer:
    """The truth about one customer. Moments are those of :class:`ShopTime`.

    ``first_order`` is infinite for customers who never order. ``taste`` holds the cumulative shares of the
    categories. The ``newsletter_*`` fields determine when the customer changes their mind, and whether and
    how many days after dropping out they unsubscribe.
    """

    arrival: float
    first_order: float
    country: str
    channel: str
    rate_per_day: float
    dropout_probability: float
    refund_probability: float
    order_value_mean: float
    discount_sensitivity: float
    taste: Floats
    newsletter: bool
    newsletter_change: float
    unsubscribes: bool
    unsubscribe_wait_days: float
    traits_delay_s: tuple[int, int]

    @property
    def favourite_category(self) -> str:
        """The category with the largest share of the customer's taste."""
        shares = np.diff(self.taste, prepend=0.0)
        return list(CATEGORIES)[int(shares.argmax())]

    def newsletter_changes_at(self, dropout: float) -> float:
        """When the customer changes their mind about the newsletter, once they drop out at ``dropout``."""
        if self.newsletter and self.unsubscribes:
            return min(self.newsletter_change, dropout + self.unsubscribe_wait_days)
        return self.newsletter_change


def draw_customer(rng: np.random.Generator, plan: Plan, time: ShopTime, number: int) -> Customer | None:
    """The customer who arrives as the ``number``-th (from 0), or None if after the end.

    Customer n arrives at random within the n-th of equally heavy slices of the season, so that
    exactly ``plan.customers`` arrive in the planned years and none depends on another.
    """
    u = rng.random(12).tolist()
    arrival = time.moment_of(time.arrival_mass, (number + u[0]) * time.planned_mass / plan.customers)
    if arrival >= time.end:
        return None
    channel = _pick({name: share for name, (share, _, _) in CHANNELS.items()}, u[1])
    _, rate_factor, dropout_factor = CHANNELS[channel]
    dropout_mean = min(plan.dropout_mean * dropout_factor, 0.95)
    sensitivity = float(rng.beta(1.2, 1.8))
    if u[3] >= plan.prospect_share:
        wait = (2 + 28 * u[4]) / 1440  # minutes: they sign up at the checkout
    elif u[4] < plan.prospect_conversion:
        wait = 1 / 24 + float(rng.exponential(plan.prospect_wait_days))
    else:
        wait = float("inf")
    popularity = np.array([share for share, _, _ in CATEGORIES.values()])
    shape = plan.order_value_shape
    return Customer(
        arrival=arrival,
        first_order=arrival + wait,
        country=_pick(COUNTRIES, u[2]),
        channel=channel,
        rate_per_day=float(rng.gamma(plan.rate_shape, plan.rate_mean_per_day / plan.rate_shape))
        * rate_factor,
        dropout_probability=_beta(rng, dropout_mean, plan.dropout_concentration),
        refund_probability=_beta(rng, plan.refund_mean, plan.refund_concentration),
        order_value_mean=plan.order_value_mean * (shape - 1) / float(rng.gamma(shape)),
        discount_sensitivity=sensitivity,
        taste=np.cumsum(rng.dirichlet(popularity * plan.taste_concentration)),
        newsletter=channel == "newsletter" or u[5] < 0.2 + 0.5 * sensitivity,
        newsletter_change=arrival + 1 + float(rng.exponential(plan.newsletter_change_days)),
        unsubscribes=u[6] < plan.unsubscribe_share,
        unsubscribe_wait_days=0.5 + 20 * u[7],
        traits_delay_s=(delay_s(plan, u[8], u[9]), delay_s(plan, u[10], u[11])),
    )


def delay_s(plan: Plan, u: float, v: float) -> int:
    """Seconds until the company learns of an event: mostly 0, else from 5 seconds to 8 hours."""
    return int(5 * 5760**v) if u < plan.late_share else 0


def _beta(rng: np.random.Generator, mean: float, concentration: float) -> float:
    return float(rng.beta(mean * concentration, (1 - mean) * concentration))


def _pick(shares: dict[str, float], u: float) -> str:
    return list(shares)[min(bisect_right(list(accumulate(shares.values())), u), len(shares) - 1)]
