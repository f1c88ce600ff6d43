"""How good answers are on real data: a module per kind of data, each with ``FILE`` and ``measure``."""

from pathlib import Path

DATA = Path("../shared/data")
