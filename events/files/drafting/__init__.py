"""Drafts of mappings: which column has which role, decided by names and by content."""
