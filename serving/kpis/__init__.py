"""The routes of monthly key figures and cohorts."""
