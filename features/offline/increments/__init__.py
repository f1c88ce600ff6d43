"""Moves snapshots to a later moment at the cost of what happened meanwhile."""
