"""Servers that imitate Snowflake and BigQuery, each in a Python environment of its own, by its lock."""
