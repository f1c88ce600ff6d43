"""Offline features: populations, snapshots and the current features of all customers."""
