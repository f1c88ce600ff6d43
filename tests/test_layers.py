"""Rules about imports that import-linter, which knows packages only, cannot hold patron.py to."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "commands", "core", "decisions", "events", "features", "models", "monitoring", "records", "serving",
    "training",
)  # fmt: skip
DOORS = {"feast", "mlflow", "evidently", "fastapi", "starlette", "ibis", "duckdb", "lightgbm"}


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_entry_point_goes_through_the_packages_and_no_door_of_its_own() -> None:
    assert imported(ast.parse((ROOT / "patron.py").read_text())) & DOORS == set()


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, patron; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = DOORS | {"pandas", "numpy", "sklearn", "scipy", "pydantic_settings"}
    assert heavy & set(loaded.stdout.split()) == set()


def test_a_service_is_ready_without_scikit_learn() -> None:
    code = """import sys
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
    for package in (
        "commands",
        "core",
        "decisions",
        "events",
        "features",
        "models",
        "monitoring",
        "records",
        "serving",
        "training",
    ):
        for path in (ROOT / package).rglob("*.py"):
            body = ast.parse(path.read_text()).body
            rest = [n for n in body if not isinstance(n, allowed)]
            docstrings = [n for n in rest if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
            assert len(rest) == len(docstrings), path
