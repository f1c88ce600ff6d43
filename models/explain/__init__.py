"""Explanations: the reasons of a score, in words, and the lineage of features."""
