"""Training on a company's own table, with one row per customer and a known outcome."""
