"""Propensity per product category, learnt and tested by time."""
