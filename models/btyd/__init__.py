"""Buy-till-you-die models: how often, for how long and for how much, from a customer's orders alone.

The literature's words: ``frequency`` (x, repeat purchases), ``recency`` (t_x, when the last of them was,
counted from the first purchase), ``T`` (how long ago the first purchase was) and ``monetary_value`` (mean
value of a repeat purchase). ``recency`` and ``T`` are in one unit of time of the caller's choice, which
models then answer in.
"""
