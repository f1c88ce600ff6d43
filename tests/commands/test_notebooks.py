"""The notebooks run from top to bottom on a shop, show their figures, and are kept without outputs.

Jupyter's libraries take seconds to import and every worker imports all modules of tests, so the tests import
them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.home import Home
from models.registry.registry import Registry

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
FIGURES = {"the_shop_at_a_glance": 7, "a_model_from_question_to_promotion": 8}


def outputs_of(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_tells_what_it_does(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert outputs_of(notebook) == []
    assert {cell.get("execution_count") for cell in notebook.cells} == {None}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].source.startswith("# ")
    assert sum(cell.cell_type == "markdown" for cell in notebook.cells) >= 8


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``python3`` be the interpreter of these tests, whatever kernels a user has installed."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "python3")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.slow
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_figures_without_a_warning(
    path: Path, built_shop: Home, copy_home: Callable[[Home], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    home = copy_home(built_shop)
    monkeypatch.setenv("PATRON_HOME", str(home.path))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = outputs_of(notebook)
    assert [output.text for output in shown if output.get("name") == "stderr"] == []
    figures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(figures) >= FIGURES[path.stem]
    if path.stem == "a_model_from_question_to_promotion":
        moves = Registry(home).promotions("ordered_twice")
        assert [move.how for move in moves] == ["promoted", "promoted", "rolled back", "promoted"]
        assert moves[-1].after == moves[1].after != moves[0].after
