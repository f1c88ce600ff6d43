"""Buy-till-you-die models: how often customers purchase, and when they stop, from their orders alone.

The literature's words: ``frequency`` (x, repeat purchases), ``recency`` (t_x, when the last of them was,
counted from the first purchase) and ``T`` (how long ago the first purchase was). ``recency`` and ``T`` are in
one unit of time of the caller's choice, which parameters are in, too. Training fits the rates of the next
order with BG/NBD; ``benchmarks/clv`` has the forecasts, values and intervals that no command uses.
"""
