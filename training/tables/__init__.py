"""Training on a company's own table: one row per customer, the outcome known."""
