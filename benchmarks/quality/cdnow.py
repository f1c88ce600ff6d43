"""BG/NBD and gamma-gamma on CDNOW: the published parameters, and who spends in the 39 weeks that follow.

Parameters are those of the first 39 weeks, in weeks; their peers are what is published: for BG/NBD of the
sample Fader, Hardie & Lee (2005), for gamma-gamma Fader & Hardie (2013). In the 39 weeks of holdout
everybody's spend is ranked by past spend, by BG/NBD × gamma-gamma, and by a challenger: a Tweedie regression
with a log link, which learns from the last 13 weeks before the holdout. What it reads is chosen by splits of
the first 39 weeks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import TweedieRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.clv.forecasts import conditional_expected_purchases
from benchmarks.clv.gamma_gamma import GammaGamma, fit_gamma_gamma
from benchmarks.clv.lifetime_value import expected_lifetime_value
from benchmarks.clv.summary import Summary, summarise
from benchmarks.harness.report import Result
from core.calendar import EPOCH
from models.btyd.bg_nbd import BgNbd, fit_bg_nbd
from models.estimator import Array
from models.measures import metrics

FILE = "cdnow/CDNOW_master.txt"
SAMPLE = "CDNOW_sample.txt"
FIRST_DAY = (date(1997, 1, 1) - EPOCH).days
WEEKS = 39  # of calibration, and of holdout
LEARN_WEEKS = 13
PUBLISHED = {
    "sample": {
        "r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426, "loglik": -9582.4,
        "p": 6.25, "q": 3.74, "v": 15.44,
    },
    "full": {"r": 0.252, "alpha": 4.789, "a": 0.723, "b": 2.161},
}  # fmt: skip


@dataclass(frozen=True)
class Orders:
    """One entry per order; days since 1970-01-01, amounts in USD."""

    customers: NDArray[np.int64]
    days: NDArray[np.int64]
    amounts: Array

    def summary(self, week: float) -> Summary:
        """Everybody as of the end of a week of 1997, in weeks."""
        return summarise(self.customers, self.days, self.amounts, end_of(week), days_per_unit=7)

    def spend(self, customers: NDArray[np.int64], after: float, until: float) -> Array:
        """What each customer spent after the end of one week and until that of another, in USD.

        Args:
            customers: all who ordered in between, and others.
        """
        here = (self.days > end_of(after)) & (self.days <= end_of(until))
        where = np.searchsorted(customers, self.customers[here])
        return np.bincount(where, self.amounts[here], len(customers)).astype(np.float64)


def end_of(week: float) -> int:
    """The last day of a week of 1997, counted from 1 January."""
    return FIRST_DAY + round(7 * week) - 1


def read(file: Path) -> Orders:
    """The orders of the master or of the sample, whose customers have numbers of their own."""
    header = file.name != SAMPLE
    columns = np.loadtxt(file, skiprows=int(header), usecols=(0, 1, 3) if header else (1, 2, 4), dtype=str)
    days = [date(int(t[:4]), int(t[4:6]), int(t[6:])) - EPOCH for t in columns[:, 1]]
    return Orders(
        columns[:, 0].astype(np.int64),
        np.array([day.days for day in days], np.int64),
        columns[:, 2].astype(np.float64),
    )


def fit(customers: Summary) -> tuple[BgNbd, GammaGamma]:
    """Both models; gamma-gamma leaves out customers whose purchases were all free."""
    paid = customers.monetary_value > 0
    return (
        fit_bg_nbd(customers.frequency, customers.recency, customers.T),
        fit_gamma_gamma(customers.frequency[paid], customers.monetary_value[paid]),
    )


def measure(file: Path) -> dict[str, Result]:
    """All measures, on the master file and on the sample next to it."""
    results: dict[str, Result] = {}
    for name, path in (("sample", file.with_name(SAMPLE)), ("full", file)):
        counts, values = fit(read(path).summary(WEEKS))
        assert counts.evidence is not None
        estimates = counts.parameters | values.parameters | {"loglik": counts.evidence.log_likelihood}
        for parameter, published in PUBLISHED[name].items():
            unit = "nats" if parameter == "loglik" else "parameter"
            results[f"cdnow_{name}_{parameter}"] = Result(
                estimates[parameter], unit, published, better="higher"
            )
    return results | holdout(read(file))


def holdout(orders: Orders) -> dict[str, Result]:
    """How well the spend of the holdout is ranked, by what was known before it."""
    now = known(orders, WEEKS)
    outcome = orders.spend(now.customers.customers, WEEKS, 2 * WEEKS)
    chosen = choose(orders)
    learnt = learn(orders, WEEKS - LEARN_WEEKS, WEEKS, CANDIDATES[chosen])
    scores = {"btyd": now.lifetime_value, "challenger": learnt.predict(CANDIDATES[chosen](now))}
    past = metrics.normalised_gini(outcome, now.past_spend)
    print(f"CDNOW, holdout: {len(outcome):,} customers; normalised Gini of spend by past spend {past:.4f}")
    results = {}
    for name, score in scores.items():
        mean, low, high = metrics.paired_bootstrap(
            [(outcome, score, now.past_spend)], metrics.normalised_gini
        )
        gini = metrics.normalised_gini(outcome, score)
        print(f"  {name} {gini:.4f}; less past spend {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
        results[f"cdnow_holdout_gini_{name}"] = Result(gini, "against past spend", past, better="higher")
        for suffix, value in {"": mean, "_low": low, "_high": high}.items():
            results[f"cdnow_holdout_{name}_difference{suffix}"] = Result(
                value, "over past spend", better="higher"
            )
    return results


@dataclass(frozen=True)
class Known:
    """What can be known of everybody at the end of a week.

    Attributes:
        past_spend, lifetime_value: in USD; the latter is the expectation for the weeks of the holdout.
        purchases: expected in them.
        value: expected of one purchase, in USD.
    """

    customers: Summary
    past_spend: Array
    purchases: Array
    value: Array
    lifetime_value: Array


def known(orders: Orders, week: float) -> Known:
    """Everybody at the end of a week, by models fitted to what was before."""
    c = orders.summary(week)
    counts, values = fit(c)
    return Known(
        c,
        orders.spend(c.customers, 0, week),
        conditional_expected_purchases(counts, WEEKS, c.frequency, c.recency, c.T),
        values.conditional_expected_average_value(c.frequency, c.monetary_value),
        expected_lifetime_value(counts, values, WEEKS, c),
    )


def _rfm(k: Known) -> Array:
    c = k.customers
    columns = [c.frequency, c.T - c.recency, c.T, k.past_spend, k.past_spend / (c.frequency + 1)]
    return np.log1p(np.column_stack(columns))


def _btyd(k: Known) -> Array:
    return np.column_stack([np.log(k.purchases), np.log(k.value), np.log1p(k.past_spend)])


CANDIDATES: Mapping[str, Callable[[Known], Array]] = {
    "RFM and past spend": _rfm,
    "BG/NBD, gamma-gamma and past spend": _btyd,
    "all of them": lambda k: np.column_stack([_btyd(k), _rfm(k)[:, [0, 1, 2, 4]]]),
}
INNER_SPLITS = (
    (13, 26, 39),
    (13, 19.5, 39),
)  # weeks: learn from the first to the second, judge from it to the third


def choose(orders: Orders) -> str:
    """The candidate that ranks best, on average over the inner splits."""
    totals = dict.fromkeys(CANDIDATES, 0.0)
    for begin, middle, end in INNER_SPLITS:
        exam = known(orders, middle)
        outcome = orders.spend(exam.customers.customers, middle, end)
        for name, columns in CANDIDATES.items():
            score = learn(orders, begin, middle, columns).predict(columns(exam))
            totals[name] += metrics.normalised_gini(outcome, score) / len(INNER_SPLITS)
    print("CDNOW, inner splits: " + ", ".join(f"{name} {gini:.4f}" for name, gini in totals.items()))
    return max(totals, key=lambda name: totals[name])


def learn(orders: Orders, begin: float, end: float, columns: Callable[[Known], Array]) -> Pipeline:
    """The regression of what is spent between the ends of two weeks on what is known at the first's."""
    then = known(orders, begin)
    outcome = orders.spend(then.customers.customers, begin, end)
    regression = TweedieRegressor(power=1.5, alpha=1e-3, link="log", max_iter=2000)
    return make_pipeline(StandardScaler(), regression).fit(columns(then), outcome)
