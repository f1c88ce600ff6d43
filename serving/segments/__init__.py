"""The route of segments."""
