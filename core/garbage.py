"""How often a process searches for garbage: Python's cyclic collector.

While a program starts, nearly everything that it creates stays. With Python's own thresholds, the searches
take a fifth of the processor time until a service answers.
"""

from __future__ import annotations

import gc

STARTING = 10_000
SERVING = 700  # Python's own; a search is short enough for every request
"""New objects after which the youngest are searched."""


def search_rarely() -> None:
    """Search after ``STARTING`` new objects."""
    gc.set_threshold(STARTING)


def search_only_new() -> None:
    """Leave out of further searches whatever exists, and search after ``SERVING`` new objects.

    A search of all that was imported and opened takes tenths of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SERVING)
