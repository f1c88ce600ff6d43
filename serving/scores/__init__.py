"""Scores for requests: champions, feature reads, scorer and explanations."""
