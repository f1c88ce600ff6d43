"""Explanations: the reasons for a score as text, and the lineage of features."""
