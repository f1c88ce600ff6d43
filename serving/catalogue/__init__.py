"""The routes that list models."""
