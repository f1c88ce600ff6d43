"""CDNOW, the data set of the literature: its published parameters and holdout, and what is reported of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.clv.forecasts import conditional_expected_purchases
from benchmarks.quality import cdnow
from models.btyd.bg_nbd import fit_bg_nbd
from models.measures import metrics

MASTER = Path(__file__).parents[3] / "shared" / "data" / cdnow.FILE


@pytest.fixture(scope="module")
def sample() -> cdnow.Orders:
    if not MASTER.with_name(cdnow.SAMPLE).is_file():
        pytest.skip("the CDNOW sample is not in ../shared/data/cdnow")
    return cdnow.read(MASTER.with_name(cdnow.SAMPLE))


@pytest.fixture(scope="module")
def master() -> cdnow.Orders:
    if not MASTER.is_file():
        pytest.skip("the CDNOW file is not in ../shared/data/cdnow")
    return cdnow.read(MASTER)


def test_the_sample_gives_the_published_parameters(sample: cdnow.Orders) -> None:
    customers = sample.summary(39)
    assert len(customers.customers) == 2357
    assert (customers.frequency > 0).sum() == 946
    counts, values = cdnow.fit(customers)
    published = cdnow.PUBLISHED["sample"]
    assert counts.evidence is not None
    assert counts.evidence.log_likelihood == pytest.approx(published["loglik"], abs=0.05)
    for name, value in (counts.parameters | values.parameters).items():
        digits = 2 if name in "pqv" else 3
        assert value == pytest.approx(published[name], abs=0.6 * 10**-digits)
    assert values.winsorized == 0


def test_the_whole_gives_the_published_parameters(master: cdnow.Orders) -> None:
    customers = master.summary(39)
    assert len(customers.customers) == 23_570
    result = fit_bg_nbd(customers.frequency, customers.recency, customers.T)
    for name, value in cdnow.PUBLISHED["full"].items():
        assert result.parameters[name] == pytest.approx(value, abs=0.6e-3)


def test_the_samples_holdout_is_predicted_as_published(sample: cdnow.Orders) -> None:
    c, whole = sample.summary(39), sample.summary(78)
    assert (c.customers == whole.customers).all()
    bought = whole.frequency - c.frequency
    counts, _ = cdnow.fit(c)
    expected = conditional_expected_purchases(counts, 39, c.frequency, c.recency, c.T)
    assert bought.sum() == 1882
    assert expected.sum() == pytest.approx(1653, abs=1)
    assert metrics.mean_absolute_error(bought, expected) == pytest.approx(0.786, abs=0.001)
    assert spearmanr(bought, expected).statistic == pytest.approx(0.449, abs=0.001)


def test_the_holdout_is_not_read_before_it_is_predicted(sample: cdnow.Orders) -> None:
    early = sample.days <= cdnow.end_of(39)
    cut = cdnow.Orders(sample.customers[early], sample.days[early], sample.amounts[early])
    assert cdnow.choose(cut) == cdnow.choose(sample)
    columns = cdnow.CANDIDATES["all of them"]
    scores = [
        cdnow.learn(orders, 26, 39, columns).predict(columns(cdnow.known(orders, 39)))
        for orders in (sample, cut)
    ]
    assert (scores[0] == scores[1]).all()
    later = replace(sample, amounts=np.where(early, sample.amounts, 1e6))
    assert (cdnow.known(later, 39).past_spend == cdnow.known(sample, 39).past_spend).all()


@pytest.mark.slow
def test_the_challenger_ranks_spend_better_than_past_spend_and_btyd_does_not(master: cdnow.Orders) -> None:
    result = {name: result.ours for name, result in cdnow.holdout(master).items()}
    assert result["cdnow_holdout_challenger_difference_low"] > 0
    assert result["cdnow_holdout_btyd_difference_high"] < 0
    assert result["cdnow_holdout_gini_btyd"] == pytest.approx(0.672, abs=0.001)
