"""Texts: tokens, topics, and a classifier of how content the author is."""
