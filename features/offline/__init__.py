"""Offline features: populations, snapshots and the features of everyone as of now."""
