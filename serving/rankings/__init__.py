"""The routes of ranked products and categories."""
