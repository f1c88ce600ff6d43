"""Whether predicted levels come true: totals, calibration and intervals of the default recipes."""
