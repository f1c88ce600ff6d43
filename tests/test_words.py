"""Names in the code: one meaning each, and the word that a reader searches for.

A name such as ``told`` does not say what it holds, and stands for something else in each function. A class
name that is defined twice leads a search to the wrong definition.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
FOLDERS = [*PRODUCT, "benchmarks", "torture", "tests"]

REASONS = {
    "told": "name the thing: fields, response, arguments, lines",
    "asked": "name the thing: request, arguments, context, names",
    "found": "name the thing: rows, result, match, path",
    "held": "name the thing: test set, batch, cache, limits",
    "said": "name the thing: output, message, text, error",
    "kept": "name the thing: rows, store, keys; or accepted, retained",
    "beside": "name the thing: other_models, opinions, shadow",
}
"""Words that are no name of a variable, parameter, attribute, function, class or alias, and what to write."""

WRITTEN_DOWN: dict[str, str] = {
    "serving/events/schemas.py:kept": "a field of the response to events",
}
"""Names that stand in files or in responses, and keep their spelling: ``path:name``, and where they stand."""


def sources(folders: list[str]) -> Iterator[tuple[str, ast.Module]]:
    """The modules of these folders: path relative to the project, and syntax tree."""
    for path in [ROOT / "patron.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def bindings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def why_not(name: str) -> str | None:
    """Why a name breaks a rule; None if it does not.

    >>> why_not("_Told")
    'name the thing: fields, response, arguments, lines'
    """
    if re.match(r"_*(MOST|LEAST)_", name):
        return "limits are named MAX_ and MIN_"
    return REASONS.get(name.strip("_").lower())


def offences() -> list[str]:
    """The names that break a rule, with their places and the reasons."""
    return [
        f"{path}:{line} {name}: {reason}"
        for path, tree in sources(FOLDERS)
        for line, name in bindings(tree)
        if f"{path}:{name}" not in WRITTEN_DOWN and (reason := why_not(name))
    ]


def repeated_classes() -> dict[str, list[str]]:
    """The class names that the product defines more than once, with their modules."""
    modules = defaultdict(list)
    for path, tree in sources(PRODUCT):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                modules[node.name].append(path)
    return {name: paths for name, paths in modules.items() if len(paths) > 1}


def test_names_say_what_they_hold() -> None:
    listed = offences()
    assert listed == [], "\n".join(["rename:", *listed])


def test_a_class_name_is_defined_once() -> None:
    assert repeated_classes() == {}


def test_the_list_of_exceptions_has_no_more_than_is_needed() -> None:
    bound = {f"{path}:{name}" for path, tree in sources(FOLDERS) for _, name in bindings(tree)}
    assert set(WRITTEN_DOWN) - bound == set(), "gone: remove from WRITTEN_DOWN"


@pytest.mark.parametrize(
    "code",
    [
        "told = 1", "def f(asked): pass", "def _found(): pass", "class Held: pass", "x.said = 1",
        "import os as kept", "for beside in x: pass", "[_told for _told in x]", "with x as found: pass",
        "try: pass\nexcept E as said: pass", "match x:\n    case [*kept]: pass", "class C:\n    told: int",
        "MOST_ROWS = 1", "_LEAST_ROWS = 1", "f(asked := 1)", "lambda held: 1",
    ],
)  # fmt: skip
def test_each_kind_of_binding_is_seen(code: str) -> None:
    assert [name for _, name in bindings(ast.parse(code)) if why_not(name)]


def test_reading_a_name_of_another_library_is_no_binding() -> None:
    assert [name for _, name in bindings(ast.parse("f(kept=1); x.found; print(said)")) if why_not(name)] == []
