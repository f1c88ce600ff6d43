"""Rules about modules that import-linter does not check: imports of programs, work at import, sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from core import logging_setup

ROOT = Path(__file__).parents[1]
PRODUCT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
MAX_MODULES = 15
"""Modules directly in a folder, without ``__init__.py``: what one reads at a glance."""
MAX_LINES = 250
"""Lines of a module."""
LONG_MODULES: dict[str, str] = {
    "benchmarks/peers/features_pandas.py": "all features in pandas, as one program: the peer of the build",
    "benchmarks/peers/features_sql.py": "all features in SQL, as one statement: the limit of the build",
    "events/simulation/activities.py": "the activities of simulated customers",
    "events/simulation/truth.py": "the true parameters of a simulated shop and its customers",
    "features/online/packed.py": "the format of a cell: written and read",
    "features/online/redis.py": "the cells in Redis: one class and its scripts",
}
"""Modules over ``MAX_LINES`` because they are one noun, each with that noun."""
DOORS = {"feast", "mlflow", "evidently", "fastapi", "starlette", "ibis", "duckdb", "lightgbm"}


def imported(tree: ast.AST) -> set[str]:
    packages: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.split(".")[0])
    return packages


def test_the_entry_point_goes_through_the_packages_and_no_door_of_its_own() -> None:
    assert imported(ast.parse((ROOT / "patron.py").read_text())) & DOORS == set()


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, patron; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = DOORS | {"pandas", "numpy", "sklearn", "scipy", "pydantic_settings"}
    assert heavy & set(loaded.stdout.split()) == set()


def test_a_service_starts_workers_without_the_application_and_is_ready_without_scikit_learn() -> None:
    code = """import sys
from console import server
from serving.server import serve
assert not {"console.app", "console.routes", "serving.app", "serving.routers"} & set(sys.modules)
from models.estimators.trees import import_lightgbm_alone
from serving.app import create_app
import_lightgbm_alone()
import lightgbm
from models.estimators.trees import FittedTrees
print(*sys.modules)
import sklearn
assert sklearn"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"sklearn", "mlflow", "feast", "evidently", "scipy.stats"} & set(loaded.stdout.split()) == set()


def test_no_module_does_work_at_import() -> None:
    """A module's own lines define things; only the guard of a program runs anything."""
    allowed = (
        ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.If
    )  # fmt: skip
    for package in PRODUCT:
        for path in (ROOT / package).rglob("*.py"):
            body = ast.parse(path.read_text()).body
            rest = [n for n in body if not isinstance(n, allowed)]
            docstrings = [n for n in rest if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
            assert len(rest) == len(docstrings), path


def lines_by_module() -> dict[str, int]:
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (*PRODUCT, "benchmarks", "torture")
        for path in (ROOT / folder).rglob("*.py")
    }


def test_a_module_is_short_or_one_noun() -> None:
    long = {path for path, lines in lines_by_module().items() if lines > MAX_LINES}
    assert sorted(long - set(LONG_MODULES)) == [], f"over {MAX_LINES} lines: split"
    assert sorted(set(LONG_MODULES) - long) == [], "short or gone: remove from LONG_MODULES"


def test_a_folder_has_few_modules() -> None:
    """Counts the modules directly in a folder; ``__init__.py`` is not counted."""
    folders = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for folder in (*PRODUCT, "benchmarks", "torture", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    )
    assert [folder for folder, modules in folders.items() if modules > MAX_MODULES] == []


def test_the_image_has_every_package() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied >= set(PRODUCT)


def test_the_place_of_an_error_may_be_in_every_package() -> None:
    assert sorted(logging_setup.PACKAGES) == sorted(PRODUCT)
