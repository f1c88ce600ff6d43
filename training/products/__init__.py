"""Training of the ranking of products, with a test by time."""
