"""The feature catalogue: the only door to Feast."""
