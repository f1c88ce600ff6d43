"""The online store: one row per customer, one packed cell per feature view, in SQLite or Redis."""
