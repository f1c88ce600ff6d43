"""Lifetime value by BG/NBD and gamma-gamma: the peer of Patron's own clv on CDNOW.

``monetary_value`` is the mean value of a repeat purchase; the other words are those of :mod:`models.btyd`.
"""
