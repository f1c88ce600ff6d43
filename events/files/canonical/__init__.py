"""Rows of a file → the canonical event tables."""
