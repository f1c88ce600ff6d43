"""The description of the API as it is checked in; ``make openapi`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


def described() -> str:
    """What the service says of itself now."""
    from serving.app import describe

    return json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(described(), encoding="utf-8")
