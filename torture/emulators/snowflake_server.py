"""fakesnow, which speaks Snowflake's protocol: ``snowflake_server.py PORT``, in its own environment.

Two of its habits are mended: the size of an array is a signed number, and what FLATTEN gives is a text.
"""

from __future__ import annotations

import sys
from typing import Any

from fakesnow import cli, transforms
from sqlglot import exp

_array_size = transforms.array_size


def array_size(part: Any) -> Any:
    """Another form of a part of a statement, or itself."""
    if (
        isinstance(part, exp.Column)
        and part.table.upper().startswith("_U_")
        and part.name.upper()[:3] != "POS"
    ):
        return exp.Anonymous(this="json_extract_string", expressions=[part.copy(), exp.Literal.string("$")])
    size = _array_size(part)
    return part if size is part else exp.cast(size, "bigint")


if __name__ == "__main__":
    transforms.array_size = array_size
    sys.exit(cli.main(["-s", "-p", sys.argv[1]]))
