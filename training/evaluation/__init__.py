"""Evaluation of a fit: measures, slices, plots, cards and comparisons."""
