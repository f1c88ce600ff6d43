"""Every file of ../shared/cases/files by the command line: drafted, imported, and as its README says.

A case is imported by its own mapping where it has one, and by its draft.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import patron
from core.calendar import date_of
from core.home import Home
from events import lake
from events.identity import Identity

CASES = Path(__file__).parents[4] / "shared" / "cases" / "files"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not in ../shared/cases/files")
Import = Callable[..., tuple[dict[str, Any], Home]]


@dataclass(frozen=True)
class Case:
    """What is right of a file.

    Attributes:
        money: each customer's net, by the draft and by the own mapping.
        orders: how many orders there are.
        own: the case's own mapping.
        money_by_own: the net by the own mapping, where it differs.
        draft: what the draft says, beside the file's plain columns.
        warnings: codes and counts of the import by the own mapping, else by the draft.
        words: what a warning or a note says.
        until: the day at whose end the clock stands.
    """

    money: dict[str, float]
    orders: int
    own: str | None = None
    money_by_own: dict[str, float] = field(default_factory=dict)
    draft: tuple[str, ...] = ()
    warnings: dict[str, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    until: str = ""


PLAIN = ('customer = "customer"', 'time = "date"', 'order = "order"', 'amount = "amount"')
ITEMS = (*PLAIN, 'product = "item"', 'quantity = "qty"')
OTHERS = {"rows_rejected": 3, "other_currencies": 3}
RIGHT = {
    "status_column": Case(
        {"K1": 100, "K3": 70}, 3,
        draft=(*PLAIN, 'cancelled = { column = "status", one_of = ["cancelled"] }   # unsure',
               'refunded = { column = "status", one_of = ["refunded"] }   # unsure'),
    ),
    "weighed_goods": Case({"K1": 18, "K2": 13.47}, 3, "weighed_goods", draft=('quantity = "quantity"',)),
    "newsletter": Case(
        {f"K{i}": 100 for i in range(1, 7)}, 6, "newsletter", draft=('newsletter = "newsletter"',)
    ),
    "export_monday": Case({"K1": 50, "K2": 20}, 2, "items", draft=ITEMS),
    "export_friday": Case({"K1": 45, "K2": 20}, 2, "items", draft=ITEMS),
    "receipt_numbers_per_day": Case(
        {"K1": 9}, 3, "items", warnings={"order_numbers_repeated": 1}, until="2024-03-03"
    ),
    "currency_in_amount": Case(
        {"K1": 100}, 1, "orders4", draft=(*PLAIN, 'currency = "EUR"   # unsure: by the sign'),
        warnings=OTHERS, words=("JPY: 1", "USD: 1", "GBP: 1"),
    ),
    "typo_year": Case(
        {"K1": 109, "K2": 10}, 3, "orders4", draft=PLAIN, warnings={"days_in_future": 1}, until="2024-05-01"
    ),
    "german_whole": Case(
        {"K1": 1200, "K2": 950, "K3": 12500}, 3, draft=('decimal = ","   # unsure: no cell decides it',)
    ),
    "identical_unmapped": Case(
        {"K1": 15, "K2": 50}, 2, "orders4", {"K1": 5, "K2": 50}, draft=('product = "item"',),
        warnings={"rows_rejected": 2, "lines_alike": 2}, words=("the columns are item",),
    ),
    "olist_like": Case(
        {"u1": 10, "u2": 20}, 2,
        draft=('customer = "customer_unique_id"', 'time = "order_purchase_timestamp"', 'order = "order_id"'),
    ),
    "ship_date_first": Case(
        {"K1": 100, "K2": 70}, 2, draft=('customer = "customer id"', 'time = "order date"'),
        until="2024-03-02",
    ),
    "shopify_time": Case(
        {"k1@example.com": 100, "k2@example.com": 50}, 2,
        draft=('customer = "Email"', 'time = "Created at"', 'order = "Name"   # unsure'), until="2022-01-12",
    ),
    "dd_mm_yyyy": Case({"K1": 100, "K2": 50}, 2, draft=('time_formats = ["%d-%m-%Y"]',), until="2018-04-25"),
    "twelve_hour": Case({"K1": 100, "K2": 50}, 2, draft=(*PLAIN, "%I:%M:%S %p"), until="2024-03-26"),
    "epoch_ms": Case({"K1": 100, "K2": 50}, 2, draft=('time_formats = ["epoch_ms"]',), until="2024-03-02"),
    "preamble": Case(
        {"K1": 1100.5, "K2": 50}, 2, draft=("skip_lines = 3", 'customer = "Kunde"', 'amount = "Betrag"'),
    ),
    "gbk": Case({"K1": 1300, "K2": 50}, 3, "gbk2", draft=('amount = "实付金额"', 'category = "商品类别"')),
    "quoted_header": Case({"K1": 100, "K2": 50}, 2, draft=PLAIN),
    "sql_header": Case({"K1": 0}, 1, draft=("no_amounts = true   # unsure",)),
    "negative_formats": Case(
        {"K1": 50, "K2": -80, "K3": 1070, "K4": 1070}, 3, "orders4", draft=PLAIN,
        warnings={"rows_rejected": 4, "other_currencies": 4}, words=("₹1,070.00", "R$ 500", "500 kr"),
    ),
}  # fmt: skip


def command(*words: object) -> int:
    sys.argv = ["patron", *map(str, words)]
    return patron.main()


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Import:
    """Import files by hand into a home: (mapping, *cases) to the last answer, and the home."""
    monkeypatch.setattr(sys, "argv", [])

    def run(how: Path, *cases: str) -> tuple[dict[str, Any], Home]:
        home = Home(tmp_path / f"home {how.stem}")
        monkeypatch.setenv("PATRON_HOME", str(home.path))
        for case in cases:
            assert command("import", CASES / f"{case}.csv", "--as", how, "--json") == 0
            done = json.loads(capsys.readouterr().out)
        return done, home

    return run


def net(home: Home) -> dict[str, float]:
    """Each customer's sales that count, less refunds."""
    backend, sums = lake.connect(), defaultdict(float)
    tables = dict(lake.read(home, backend).items())
    for name, sign in (("order_lines", 1), ("refunds", -1)):
        for row in backend.to_pyarrow(tables[name]).to_pylist():
            if row.get("replaced_at") is None:
                sums[row["customer_key"]] += sign * float(row["amount"])
    ids = Identity(home).ids(list(sums))
    return {ids[key]: round(amount, 2) for key, amount in sums.items()}


def test_every_case_is_in_the_table() -> None:
    assert {path.stem for path in CASES.glob("*.csv")} == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_the_case_comes_out_right_by_its_draft(
    name: str, tmp_path: Path, imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    case = RIGHT[name]
    assert command("import", CASES / f"{name}.csv", "--inspect") == 0
    text = capsys.readouterr().out
    for words in case.draft:
        assert words in text
    draft = tmp_path / "draft.toml"
    draft.write_text(text, encoding="utf-8")
    done, home = imported(draft, name)
    assert net(home) == case.money
    assert done["read"] == sum(done["kept"].values()) + sum(done["set_aside"].values())
    assert sum(month["net"] for month in done["months"]) == pytest.approx(sum(case.money.values()))
    assert sum(month["orders"] for month in done["months"]) == case.orders
    if case.own is None:
        _check(case, done, home)


@pytest.mark.parametrize("name", [name for name, case in RIGHT.items() if case.own])
def test_the_case_comes_out_right_by_its_own_mapping(name: str, imported: Import) -> None:
    case = RIGHT[name]
    done, home = imported(CASES / f"{case.own}.toml", name)
    assert net(home) == (case.money_by_own or case.money)
    _check(case, done, home)


def _check(case: Case, done: dict[str, Any], home: Home) -> None:
    """Warnings, what they say, and the clock."""
    assert {warning["code"]: warning["count"] for warning in done["warnings"]} == case.warnings
    for words in case.words:
        assert words in json.dumps(done, ensure_ascii=False)
    if case.until:
        last_day = date_of(home.shop().today() - 1)
        assert last_day.isoformat() == case.until


@pytest.mark.parametrize("files", [("export_monday", "export_friday"), ("export_monday",) * 2])
def test_a_later_export_corrects_the_order(files: tuple[str, ...], imported: Import) -> None:
    _, home = imported(CASES / "items.toml", *files)
    assert net(home) == {"K1": 45 if "export_friday" in files else 50, "K2": 20}
