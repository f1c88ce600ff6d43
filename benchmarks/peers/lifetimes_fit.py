"""BG/NBD by lifetimes, in a Python that has it: `PYTHON lifetimes_fit.py CUSTOMERS.npz T`.

Reads ``frequency``, ``recency`` and ``T``; prints one JSON object: seconds of the fit and of the expected
purchases within the time T, and the parameters.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from lifetimes import BetaGeoFitter  # type: ignore[import-not-found]


def main(file: str, ahead: float) -> None:
    with np.load(file) as columns:
        customers = [columns[name] for name in ("frequency", "recency", "T")]
    began = time.perf_counter()
    fitter = BetaGeoFitter().fit(*customers)
    fitted = time.perf_counter()
    fitter.conditional_expected_number_of_purchases_up_to_time(ahead, *customers)
    predicted = time.perf_counter()
    seconds = {"fit": fitted - began, "predict": predicted - fitted}
    print(json.dumps(seconds | {name: float(value) for name, value in fitter.params_.items()}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
