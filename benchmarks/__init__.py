"""Measurements against a peer and a limit, in the same run: `python -m benchmarks.NAME`."""
