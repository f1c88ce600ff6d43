"""Training of propensity per product category, with a test by time."""
