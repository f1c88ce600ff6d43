"""The doctor's check of who can read a home."""

from __future__ import annotations

from collections.abc import Iterator

from core import private
from core.home import Home
from serving.operations.checks import OK, WARNING, Check


def privacy(home: Home) -> Iterator[Check]:
    """Whether other users of this machine can read the home."""
    if not home.path.exists():
        return
    paths = list(private.open_paths(home))
    if not paths:
        yield Check("privacy", OK, "only the owner can read the home")
        return
    some = ", ".join(str(path.relative_to(home.path.parent)) for path in paths[:3])
    result = f"other users may read {len(paths):,} files and folders of {home.path}, such as {some}"
    advice = f"run `chmod -R go= {home.path}`; other commands do so by themselves"
    yield Check("privacy", WARNING, result, advice)
