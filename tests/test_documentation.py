"""The documentation and the commands say the same."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import patron

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
GUIDE = "\n".join(page.read_text() for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
FILES_OF_A_HOME = {"events/import.json"}  # these look like paths of the project
GLOSSARY_WORDS = 40
README_LINES = 150
PRODUCT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
ROOT_COMMAND = typer.main.get_command(patron.app)
COMMANDS = set(ROOT_COMMAND.commands)  # type: ignore[attr-defined]


def test_every_command_is_documented() -> None:
    assert {name for name in COMMANDS if f"patron {name}" not in GUIDE} == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_glossary_explains_each_word_once() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \|$", (ROOT / "docs" / "glossary.md").read_text(), re.M)
    words = [row.lower() for row in rows if row != "word"]
    assert len(words) == GLOSSARY_WORDS
    assert sorted(set(words)) == sorted(words)


def test_every_command_in_the_documentation_exists() -> None:
    in_code = re.findall(
        r"(?:`|^|\s)patron ([a-z]+)", "\n".join(re.findall(r"`[^`\n]+`|^patron .*", TEXT, re.M))
    )
    assert set(in_code) - COMMANDS == set()
    assert len(in_code) > 5


def test_every_option_in_the_documentation_exists() -> None:
    def options(command: Any) -> set[str]:
        own = {o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)}
        return own.union(*map(options, getattr(command, "commands", {}).values()))

    known = {"--backend-store-uri", "--workers", "--require-hashes", "--no-deps", "--port", "--help"}
    known |= {"--serve-artifacts", "--artifacts-destination", "--rm"}  # of mlflow and docker
    known |= {"--system", "--home-dir", "--create-home", "--now"}  # of useradd and systemctl
    known |= {"--full", "--day", "--drafts", "--events"}  # of benchmarks
    known |= options(ROOT_COMMAND)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - known == set()


def test_every_make_target_in_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`(?:\w+=\S+ )?make ([a-z-]+)", TEXT)) - targets == set()


def test_every_benchmark_in_the_documentation_exists_and_is_run_by_make_bench() -> None:
    named = set(re.findall(r"python -m benchmarks\.(\w+)", TEXT))
    makefile = (ROOT / "Makefile").read_text()
    assert named
    places = {path.stem for path in (ROOT / "benchmarks").iterdir()}  # a module, or a package that runs
    assert named - places == set()
    assert {name for name in named if f"benchmarks.{name}" not in makefile} == set()


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_path_in_the_documentation_exists() -> None:
    """Paths in backticks that begin with a folder of the project; decision records name former ones."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        paths = re.findall(r"(?<![\w./-])(?:[\w-]+/)+[\w.-]*", code_of(page))
        named = [path for path in paths if path.split("/")[0] in folders and path not in FILES_OF_A_HOME]
        assert [path for path in named if not (ROOT / path).exists()] == [], page.name


def code_of(page: Path) -> str:
    """The parts of a page in backticks, without blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return "\n".join(re.findall(r"`([^`\n]+)`", text))


def test_every_route_of_version_1_is_documented() -> None:
    from serving.routers import ROUTERS

    paths = [route.path_format for router in ROUTERS for route in router.routes]  # type: ignore[attr-defined]
    assert [path for path in paths if path not in GUIDE] == []


def test_the_page_of_the_features_is_made_from_the_features() -> None:
    from models.explain.lineage import page

    assert (ROOT / "docs" / "features.md").read_text() == page(), "patron features --write docs/features.md"


def test_the_page_of_the_settings_is_made_from_the_settings_classes() -> None:
    from commands.settings import page, sections

    assert (ROOT / "docs" / "configuration.md").read_text() == page(), (
        "patron settings --write docs/configuration.md"
    )
    settings = [setting for settings in sections().values() for setting in settings]
    assert [s.variable for s in settings if s.meaning == "None"] == [], "a field without a description"


def test_every_environment_variable_is_documented_and_every_documented_one_is_read() -> None:
    from commands.settings import sections

    page = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"^\| `(PATRON_[A-Z_]+)`", page, re.M))
    of_classes = {setting.variable for settings in sections().values() for setting in settings}
    files = [ROOT / "compose.yaml", ROOT / "Makefile", ROOT / "patron.py", *(ROOT / "tests").rglob("*.py")]
    files += [
        path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py") if path.name != "settings.py"
    ]
    read = set(variables("\n".join(path.read_text() for path in files)))
    own = {"PATRON_CHILD", "PATRON_SHARED_REGISTRY_STATE"}  # Patron sets them, for its own processes
    assert read - documented == own
    assert documented - of_classes - read == set()
    assert set(variables(TEXT)) - documented == set()


def variables(text: str) -> list[str]:
    return re.findall(r"\bPATRON_[A-Z_]*[A-Z]\b", text)


def test_every_settings_class_is_documented() -> None:
    """The command lists the settings classes by hand; this test finds them in the product."""
    from commands.settings import sections

    classes = [
        node.name
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "BaseSettings" for base in node.bases)
    ]
    assert len(classes) == len(sections())


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_packages_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pinned = re.findall(r"^([a-z0-9._-]+)==", text, re.M)
    assert text.count("--hash=sha256:") >= len(pinned) > 100


def test_both_locks_agree() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._\[\]-]+==\S+", (ROOT / name).read_text(), re.M))

    assert pinned("requirements.lock") <= pinned("requirements-dev.lock")
