"""Ibis' backends for warehouses: each is a session whose values are those of DuckDB."""
