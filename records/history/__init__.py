"""The predictions of a span of time, as a table of Ibis."""

from records.history.span import Logged, latest, read

__all__ = ["Logged", "latest", "read"]
