"""The definitions of the built-in features, stored with Python's bytecode: compiling them takes seconds.

The file is valid for one state of the sources, of Ibis and of SQLGlot, and is made again for another. As with
bytecode, whoever may write it may change the code as well.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

from core import files
from features.group import Feature
from features.groups import FEATURES

PACKAGES = ("core", "events", "features")
"""The packages that a definition can depend on; the layers allow no other."""
_COMPILERS = ("ibis-framework", "sqlglot")
_ROOT = Path(__file__).parents[2]
_READABLE = 0o644
_IMPORTED_AT = time.time()
_SETTLED_S = 5.0  # longer than the imports before this one


def definition(feature: Feature) -> str:
    """The same as :meth:`Feature.definition`; of a built-in feature it is usually not compiled."""
    built_in = FEATURES.get(feature.name) is feature
    return built_in_definitions()[feature.name] if built_in else feature.definition()


@cache
def built_in_definitions() -> dict[str, str]:
    """The definitions of the features of every shop by name, from the file if it is valid, else compiled.

    While a program runs or starts, its sources may be replaced. It then compiles what it imported, and leaves
    the file to the programs that import the new sources.
    """
    digest = digest_of_sources() if _sources_are_as_imported() else None
    stored = None if digest is None else _read(digest)
    if stored is None:
        stored = {name: feature.definition() for name, feature in FEATURES.items()}
        if digest is not None:
            _write(digest, stored)
    return stored


def _sources_are_as_imported() -> bool:
    """Whether no source has changed since shortly before this process imported it."""
    return max(path.stat().st_ctime for path in _sources(_ROOT)) < _IMPORTED_AT - _SETTLED_S


def _sources(root: Path, packages: Sequence[str] = PACKAGES) -> Iterator[Path]:
    return (path for package in packages for path in (root / package).rglob("*.py"))


def digest_of_sources(root: Path = _ROOT, packages: Sequence[str] = PACKAGES) -> str:
    """The SHA-256 of sources and of the versions of the compilers.

    Args:
        packages: those of the sources; by default the ones that definitions can depend on.
    """
    digest = hashlib.sha256("".join(f"{name} {version(name)}\n" for name in _COMPILERS).encode())
    for path in sorted(_sources(root, packages)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def cache_file() -> Path:
    """The file: where Python caches the bytecode of this module."""
    return Path(cache_from_source(__file__)).with_suffix(".json")


def _read(digest: str) -> dict[str, str] | None:
    try:
        stored = json.loads(cache_file().read_text())
        same = stored["sources"] == digest and stored["definitions"].keys() == FEATURES.keys()
        return dict(stored["definitions"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it can be made again
        return None


def _write(digest: str, definitions: dict[str, str]) -> None:
    """Write the file if possible, readable for all users of the installation, as bytecode is."""
    path = cache_file()
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with files.replacing(path) as draft:
            draft.write_text(json.dumps({"sources": digest, "definitions": definitions}))
            draft.chmod(_READABLE)
