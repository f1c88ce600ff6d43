"""Backups: copies of a home and its stores that are consistent with each other, and restoring them."""
