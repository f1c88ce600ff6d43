"""The stored definitions are used for the sources that they were made from, and for no others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features.groups import FEATURES, definition_cache
from features.groups.definition_cache import PACKAGES, built_in_definitions, digest_of_sources

ROOT = Path(__file__).parents[3]
MARK = "0" * 64


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of the test's own in place of the installation's, over sources that have not changed for long.

    Features compile to ``compiled NAME``, so that what comes from the file can be told.
    """
    path = tmp_path / "__pycache__" / "definitions.json"
    monkeypatch.setattr(definition_cache, "cache_file", lambda: path)
    monkeypatch.setattr(definition_cache, "_IMPORTED_AT", time.time() + 60)
    for feature in FEATURES.values():
        monkeypatch.setitem(feature.__dict__, "_definition", f"compiled {feature.name}")
    built_in_definitions.cache_clear()
    yield path
    built_in_definitions.cache_clear()


COMPILED = {name: f"compiled {name}" for name in FEATURES}


def test_definitions_are_written_once_and_read_from_then_on(file: Path) -> None:
    assert built_in_definitions() == COMPILED
    assert file.stat().st_mode & 0o777 == 0o644
    stored = json.loads(file.read_text())
    assert stored == {"sources": digest_of_sources(), "definitions": COMPILED}
    file.write_text(json.dumps(stored | {"definitions": COMPILED | {"orders_90d": MARK}}))
    built_in_definitions.cache_clear()
    orders = FEATURES["orders_90d"]
    assert definition_cache.definition(orders) == MARK
    assert definition_cache.definition(replace(orders)) != MARK, "a feature of that name, but another one"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"sources": "DIGEST", "definitions": []}',
        '{"sources": "DIGEST", "definitions": {"a": "b"}}',
        json.dumps({"sources": "of other code", "definitions": dict.fromkeys(FEATURES, MARK)}),
    ],
)
def test_a_file_of_other_sources_or_none_is_replaced(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content.replace("DIGEST", digest_of_sources()))
    assert built_in_definitions() == COMPILED
    assert json.loads(file.read_text())["definitions"] == COMPILED


def test_sources_replaced_while_the_program_runs_leave_the_file_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in_definitions()
    content = json.dumps({"sources": digest_of_sources(), "definitions": dict.fromkeys(FEATURES, MARK)})
    file.write_text(content)
    built_in_definitions.cache_clear()
    monkeypatch.setattr(definition_cache, "_IMPORTED_AT", 0.0)
    assert built_in_definitions() == COMPILED
    assert file.read_text() == content


def test_a_folder_that_cannot_be_written_is_no_error(file: Path) -> None:
    file.parent.write_text("a file where the folder belongs")
    assert built_in_definitions() == COMPILED


def test_the_digest_follows_every_source_and_the_compilers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES:
        (tmp_path / package / "deep").mkdir(parents=True)
        (tmp_path / package / "deep" / "module.py").write_text("A = 1\n")
    digests = [digest_of_sources(tmp_path)]
    for package in PACKAGES:
        (tmp_path / package / "deep" / "module.py").write_text("A = 2\n")
        digests.append(digest_of_sources(tmp_path))
    (tmp_path / "features" / "another.py").touch()
    digests.append(digest_of_sources(tmp_path))
    for compiler in ("ibis-framework", "sqlglot"):
        with monkeypatch.context() as patch:
            patch.setattr(
                definition_cache, "version", lambda name, new=compiler: "13" if name == new else "12"
            )
            digests.append(digest_of_sources(tmp_path))
    assert len(set(digests)) == len(digests)


def test_definitions_import_no_other_package_of_the_project() -> None:
    code = (
        "import sys; from features.groups import FEATURES\n"
        "[f.definition() for f in list(FEATURES.values())[:1]]\n"
        "print(*{m.split('.')[0] for m, l in sys.modules.items() if (getattr(l, '__file__', 0) or '')"
        f".startswith({str(ROOT)!r}) and 'site-packages' not in l.__file__}})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(PACKAGES)
