"""The migration steps, the oldest first."""
