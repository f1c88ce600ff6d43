"""Queries over lake and journal for one customer or one kind of event."""
