"""Expected lifetime value: expected purchases times the expected value of a purchase."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.clv.forecasts import conditional_expected_purchases
from benchmarks.clv.gamma_gamma import GammaGamma
from benchmarks.clv.summary import Summary
from core.errors import PatronError
from models.btyd.bg_nbd import BgNbd
from models.estimator import Array


def expected_lifetime_value(purchases: BgNbd, values: GammaGamma, t: ArrayLike, customers: Summary) -> Array:
    """Expected value of the purchases within ``t`` after T, in currency, not discounted.

    The product of the two expectations, since the models take value to be independent of how often somebody
    buys (Fader, Hardie & Lee, 2005, RFM and CLV: Using Iso-Value Curves for Customer Base Analysis, Journal
    of Marketing Research 42(4), 415-430).

    Args:
        t: how far ahead, in the unit of the summary's T.

    Raises:
        PatronError: values have no mean for somebody who bought once, as q is 1 or less.
    """
    each = values.conditional_expected_average_value(customers.frequency, customers.monetary_value)
    if not np.isfinite(each).all():
        raise PatronError(f"gamma-gamma with q = {values.q:.3g} gives purchases no mean value; fit it again")
    count = conditional_expected_purchases(purchases, t, customers.frequency, customers.recency, customers.T)
    worth: Array = count * each
    return worth
