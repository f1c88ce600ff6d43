"""Answers now: scores over HTTP and in bulk, and the watch over them."""
