"""Trains the ranking of products, and tests it by time."""
