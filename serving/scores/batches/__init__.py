"""Scores of many customers of one request."""
