"""Every text that another layer can show on a page has Chinese in the catalogue of sentences."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.words.messages import Translator
from console.words.sentences import sentence, templates
from core.errors import PatronError

ROOT = Path(__file__).parents[3]
CHINESE = Translator("zh", "Europe/Berlin", "EUR")
FOLDERS = ("core", "decisions", "events", "features", "models", "monitoring", "records", "serving")
"""The layers below the console."""
NOT_SHOWN = (
    "core/calendar", "core/storage/copies", "core/storage/spark_", "core/declarations/",
    "decisions/rules/text", "features/offline/engines",
    "events/files", "events/simulation", "events/warehouse/mapping", "features/catalogue/plugin",
    "features/groups/own_sql",
    "features/offline/snapshots", "models/btyd", "models/categories", "models/estimators", "models/explain",
    "models/products", "models/registry/copies", "models/tables", "models/text", "records/outcomes",
    "records/requests", "serving/access", "serving/events", "serving/files", "serving/rankings",
    "serving/score_jobs", "serving/scores", "serving/http", "serving/customers/routes",
    "serving/decisions/run_routes", "serving/decisions/to_file",
)  # fmt: skip
"""Modules whose errors no page shows: those of commands, of training, and of routes for programs."""
COMPOSED = {
    "the audience 7; read it again, and send its digest as If-Match": (
        "the audience is not there any more; read it again, and send its digest as If-Match"
    ),
    "there is no feature 'zz'; 7": "there is no feature 'zz'; `patron features` lists them",
    "there is no date 'zz'; 7": "there is no date 'zz'; use birthday, easter",
    "7 is 7, so it cannot be compared like this": "country is a text, so it cannot be compared like this",
    "7 is 7, so it cannot be compared like this7": (
        'country is a text, so it cannot be compared like this; in quotes "5" is a text'
    ),
    "7; restore 7 or run `patron train 7`": (
        "the files of churn version 3 cannot be read (OSError); restore /a/b or run `patron train churn`"
    ),
    "7 from MLflow at 7": (
        "the files of churn version 3 cannot be read (OSError) from MLflow at http://localhost:5000"
    ),
    "7, 7 behind": "everyone as of 2026-11-30 06:39 UTC, 2 days behind",
    "7 7, tables at step 7, 7": "SQLite 3.40.1, tables at step 0013, /a/b/patron.db",
    "7, 7, 7, the clock: 7": "simulate, EUR, Europe/Berlin, the clock: wall time",
    "orders of which more is given back than they brought: 7, by 7 7 together, which does not count. Compare"
    " their refunds with the books": (
        "orders of which more is given back than they brought: 3, by 1,200.50 EUR together, which does not"
        " count. Compare their refunds with the books"
    ),
    "7 orders 7": "27,389 orders from 2023-11-30 to 2026-11-30",
}
"""Texts of parts that are made elsewhere, and how one of each reads as a whole."""
RAISED = {"PatronError", "Refused", "Unfit", "RuleError", "Placeholder"}
SHOWN = {"Check": (2, 3), "Gate": (1,), "Finding": (2,)}
"""What else has texts for pages, and the places of these among its arguments."""
PRODUCTS = (
    r"\b(Patron|MLflow|Redis|PostgreSQL|SQLite|Python|DuckDB|OpenID Connect|AUC|ISO|UTF|TOML|Unicode"
    r"|[KM]B|A)\b"
)
"""Names of products and of measures, which Chinese texts have, too."""


def modules(*folders: str) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def error_classes() -> set[str]:
    """The names of PatronError and of all classes derived from it."""
    for path in modules(*FOLDERS):
        if "raise " in path.read_text():
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    names, pending = set(RAISED), [PatronError]
    while pending:
        derived = pending.pop().__subclasses__()
        names |= {kind.__name__ for kind in derived}
        pending += derived
    return names


def example(node: ast.expr, module: Any) -> str | None:
    """A text as the program would make it, with invented values; None for one that is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(example(part, module) or "" for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper() and hasattr(module, name):
            return str(getattr(module, name))
        case ast.FormattedValue(conversion=114):
            return "'zz'"
        case ast.FormattedValue():
            return "7"
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = [example(left, module), example(right, module)]
            return "".join(part for part in parts if part) if None not in parts else None
    return None


def texts(path: Path, classes: set[str]) -> Iterator[tuple[int, str]]:
    """The texts of a module that a page can show, by line."""
    tree = ast.parse(path.read_text())
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        places = SHOWN.get(str(name), (0,) if name in classes else (1,) if name == "HTTPException" else ())
        for place in places:
            if place < len(node.args) and (text := example(node.args[place], module)):
                yield node.lineno, text


def is_shown(path: Path) -> bool:
    name = path.relative_to(ROOT).with_suffix("").as_posix()
    return name.startswith("events/files/review") or not name.startswith(NOT_SHOWN)


def is_english(text: str) -> bool:
    return sentence(CHINESE, text) == text and bool(re.search("[A-Za-z]{3}", text))


def test_every_text_that_a_page_can_show_has_chinese() -> None:
    classes = error_classes()
    missing = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in modules(*FOLDERS)
        if is_shown(path)
        for line, text in texts(path, classes)
        if is_english(COMPOSED.get(text, text))
    ]
    assert missing == [], "\n".join(missing)


def test_the_chinese_of_a_sentence_has_no_word_of_another_language() -> None:
    for template in templates():
        own = re.sub(r"`[^`]*`|\{\w+\}", "", template.texts["zh"])
        assert re.findall("[A-Za-z_]+", re.sub(PRODUCTS, "", own)) == [], own
        assert not re.search(r"[\u4e00-\u9fff][,.;:!?()]", own), own
        for text in template.texts.values():
            assert set(re.findall(r"\{(\w+)\}", text)) <= set(template.english.groupindex)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("there is no feature 'chrn'; did you mean churn?", "没有特征“chrn”；是否想写 `churn`？"),
        ("gini is 0.2 and must be at least 0.3: it must tell customers apart",
         "基尼系数为 0.2，应不低于 0.3：应能区分客户"),
        ("value tier A", "价值等级 A"),
        ("channel search", "来源：搜索"),
        ("passed its gates; there is no champion yet", "通过上线检查；此前没有启用的版本"),
        ("the clock: stands at 2026-11-30 06:39 UTC", "the clock: stands at 2026-11-30 06:39 UTC"),
        ("everyone as of 2026-11-30 06:39 UTC", "全部客户截至 2026年11月30日 07:39"),
        ("has ordered already, so is no prospect", "已经下过单"),
        ("known only to <b>nobody</b>", "known only to <b>nobody</b>"),
    ],
)  # fmt: skip
def test_a_sentence_keeps_its_values(english: str, chinese: str) -> None:
    assert sentence(CHINESE, english) == chinese
    assert sentence(Translator("en", "Europe/Berlin", "EUR"), english) == english


def test_what_programs_are_told_is_told_to_people_in_their_words() -> None:
    english = sentence(Translator("en", "Europe/Berlin", "EUR"), 'give a reason for the record: --why "..."')
    assert english == "give a reason for the record"


def test_a_long_text_is_not_searched_for_sentences() -> None:
    assert sentence(CHINESE, "column 1: " * 5000) == "column 1: " * 5000
