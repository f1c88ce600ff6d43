"""The routes that receive events."""
