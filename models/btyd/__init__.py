"""Buy-till-you-die models: how often customers purchase, and when they stop, from their orders alone.

The names are those of the literature: ``frequency`` (x, the number of repeat purchases), ``recency`` (t_x,
the time from the first to the last purchase) and ``T`` (the time since the first purchase). ``recency``,
``T`` and the parameters have the same unit of time, which the caller chooses. Training fits the rates of the
next order with BG/NBD; ``benchmarks/clv`` has the forecasts, values and intervals that no command uses.
"""
