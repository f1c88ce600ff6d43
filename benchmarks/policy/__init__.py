"""The benchmark of decisions."""
