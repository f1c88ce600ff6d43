"""The content of ``audiences.toml``, the audiences that are saved by requests."""

from __future__ import annotations

import tomllib
from typing import Any

from core.errors import PatronError
from core.home import Home


def read_saved(home: Home) -> dict[str, dict[str, Any]]:
    """The settings of the saved audiences, by name; none without the file.

    Raises:
        PatronError: the file cannot be read.
    """
    try:
        table = tomllib.loads(home.audiences.read_text(encoding="utf-8"))
        saved: dict[str, dict[str, Any]] = table.get("audiences", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PatronError(f"{home.audiences} cannot be read ({error}); restore it from a backup") from error
    return saved
