"""Benchmarks of decisions: one module per measure."""
