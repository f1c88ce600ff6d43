"""The feature catalogue; only this package uses Feast."""
