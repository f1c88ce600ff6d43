"""The quality of the models on real data: a module per kind of data, each with ``FILE`` and ``measure``."""

from pathlib import Path

DATA = Path("../shared/data")
