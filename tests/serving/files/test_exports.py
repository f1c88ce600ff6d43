"""Files of recommendations: every reader gets back what was written, and nothing more happens."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
import shutil
import subprocess
import unicodedata
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from core.errors import PatronError
from serving.files.cells import rounded
from serving.files.exports import stream, stream_archive, write_files
from serving.files.layouts import CODES, FIELDS, LAYOUTS, ExportLayout, find_layout, layouts

CRMS = sorted(layouts().keys() - {"spreadsheet"})
MOMENT = datetime(2024, 7, 1, 17, 30, 5, 250_000, tzinfo=timezone(timedelta(hours=8)))
FORMULAS = [
    "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2+3", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1",
    '"=1+1', "'=1+1", "＝1+1", "＋1", "－1", "＠SUM(1)", "\u200b=1+1", "\u3000＝1+1", "\x00=1+1",
    'fine;=HYPERLINK("http://x.example")', "fine\n=1+1", "\ttab", "\rreturn",
]  # fmt: skip
IDENTIFIERS = [
    "00123", "1234567890123456", "12345678901234567890", "123456789012", "1E5", "1e-5", "00e12", "2-3",
    "3/4", "MAR1", "mar-1", "1 Mar", "Mai 5", "TRUE", "false", "WAHR", " 12", "12 ", "  x  ", "1:30",
    "1 PM", "50%", "$5", "R500", "1.5", "1,5", "(5)", "+49", "-7", "=1+1", "@me", "'00123", '1"2', "a;=1+1",
    "#N/A", "2024-07-01", "１２３", "3月4日", "客户-001", "0", "12347", "99999999999", "C000001", "dec_01HZX",
    "anna@example.com", "0c5e1c2e-6d0f-4a9b-8e55-111111111111", "0x1F", "x" * 200, "7" * 300,
]  # fmt: skip


def row(**given: Any) -> dict[str, Any]:
    return dict.fromkeys(FIELDS) | given


def written(rows: list[dict[str, Any]], kind: Any = "csv", language: Any = "en", **more: Any) -> str:
    _, chunks = stream(rows, kind, language, **more)
    return b"".join(chunks).decode()


def table(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter))


def text_read(cell: str) -> str:
    """A text as it was before its guard, as documented."""
    return re.sub(r"(?:^|(?<=[;\r\n]))'", "", cell)


def id_read(cell: str) -> str:
    """An id as it was before its guard, as documented."""
    if cell.startswith('="'):
        return cell[2:-1].replace('""', '"')
    return cell.removeprefix("'")


def starts_a_formula(cell: str) -> bool:
    """Whether a spreadsheet might, also one that splits at semicolons or overlooks blanks and quotes."""
    parts = [cell, *re.split(r"[;\r\n]", cell)[1:]]
    unseen = "\u200b\ufeff\"'"
    for part in parts:
        rest = part
        while rest and (rest[0] in unseen or unicodedata.category(rest[0]) in ("Cc", "Zs", "Zl", "Zp")):
            rest = rest[1:]
        if not part.startswith("'") and unicodedata.normalize("NFKC", rest[:1]) in tuple("=+-@"):
            return True
    return cell[:1] in ("\t", "\r", "\n", "\0")


# CSV for a spreadsheet


def test_a_csv_has_a_mark_crlf_quotes_and_a_header_in_the_language_asked_for() -> None:
    media, chunks = stream([row(customer_id="C1", action_text='说 "你好", 再见\n!')], "csv", "zh")
    content = b"".join(chunks)
    assert media == "text/csv; charset=utf-8"
    assert content.startswith(b"\xef\xbb\xbf")
    head, line, rest = content[3:].decode().split("\r\n")
    assert head.startswith('"客户编号","决策编号","营销动作"')
    assert line.startswith('"C1",,,"说 ""你好"", 再见\n!",,')
    assert rest == ""
    assert written([]).startswith('\ufeff"Customer ID","Decision ID","Action"')
    assert len(table(written([row()]))[0]) == len(layouts()["spreadsheet"].columns) > len(FIELDS)


def test_numbers_are_plain_rounded_and_negative_ones_stay_numbers() -> None:
    numbers = {
        "expected_value": -12.5, "cost": Decimal("0.10"), "probability": 1e-7, "churn": np.float64(0.25),
        "propensity": float("nan"), "clv": 1e16,
    }  # fmt: skip
    read = table(written([row(**numbers)]))[0]
    names = ("Expected value", "Cost", "Probability of this choice", "Churn probability",
             "Purchase probability", "Customer lifetime value")  # fmt: skip
    assert [read[name] for name in names] == ["-12.5", "0.10", "0", "0.25", "", "10000000000000000"]
    assert '",,7,,' not in written([row(clv=np.int64(7))])
    assert table(written([row(clv=np.int64(7))]))[0]["Customer lifetime value"] == "7"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.1 + 0.2, 2, "0.30"), (1 / 3, 6, "0.333333"), (2 / 3 * 100, 2, "66.67"), (-0.001, 2, "0"),
        (123456789012345.678, 2, "123456789012345.7"), (12345678901234567890, 2, "12345678901234570000"),
        (5, 2, "5"), (Decimal("1.005"), 2, "1.00"), (1e300, 2, "1" + "0" * 300),
    ],
)  # fmt: skip
def test_a_number_has_at_most_16_digits_and_so_many_decimals(value: Any, decimals: int, text: str) -> None:
    cell = rounded(value, decimals)
    assert cell is not None
    assert f"{cell:f}" == text


@given(st.floats() | st.integers() | st.decimals(allow_nan=False), st.integers(0, 6))
def test_rounding_loses_less_than_half_of_the_last_decimal_or_digit(value: Any, decimals: int) -> None:
    cell = rounded(value, decimals)
    if cell is None:
        assert not math.isfinite(value)
        return
    assert len(cell.as_tuple().digits) <= 16
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    assert abs(cell - exact) <= max(Decimal(5).scaleb(-decimals - 1), abs(exact).scaleb(-15))


def test_moments_are_those_of_the_shop_for_a_person() -> None:
    assert table(written([row(decided_at=MOMENT)]))[0]["Decided at"] == "2024-07-01 09:30:05"
    local = table(written([row(decided_at=MOMENT)], zone="Asia/Shanghai"))[0]["Decided at"]
    assert local == "2024-07-01 17:30:05"


def test_codes_are_said_in_words_of_the_language_and_texts_are_left_alone() -> None:
    rows = [
        row(how=how, lifecycle_stage="at_risk", reason="control")
        for how in ("best", "explored", "control", "holdout")
    ]
    english, chinese = (
        table(written(rows)),
        table(written(rows, language="zh")),
    )
    assert [r["How chosen"] for r in english] == ["best", "explored", "control group", "holdout"]
    assert [r["决策方式"] for r in chinese] == ["最优", "随机试验", "对照组", "长期对照组"]
    assert [r["决策方式代码"] for r in chinese] == ["best", "explored", "control", "holdout"]
    assert {r["Lifecycle stage code"] for r in english} == {"at_risk"}
    assert {r["Lifecycle stage"] for r in english} == {"At risk"}
    assert {r["生命周期阶段"] for r in chinese} == {"流失风险"}
    assert {r["原因"] for r in chinese} == {"control"}


@given(st.text() | st.sampled_from(FORMULAS), st.text(min_size=1) | st.sampled_from(IDENTIFIERS))
def test_any_text_and_id_come_back_and_no_text_starts_a_formula(text: str, identifier: str) -> None:
    read = table(written([row(reason=text, customer_id=identifier)]))[0]
    assert text_read(read["Reason"]) == text
    assert id_read(read["Customer ID"]) == identifier
    assert not starts_a_formula(read["Reason"])
    one_literal = re.fullmatch('="(?:[^"]|"")*"', read["Customer ID"])
    assert one_literal or not starts_a_formula(read["Customer ID"])


@pytest.mark.parametrize("text", FORMULAS)
def test_no_formula_starts_also_where_lines_are_split_by_semicolons(text: str) -> None:
    assert not starts_a_formula(table(written([row(action_text=text)]))[0]["What to do"])


@pytest.mark.parametrize("text", ["", "10 % off", "a-b", "x = y; fine", "2024-07-01", "折扣 -5", "(-5)?"])
def test_ordinary_text_is_left_alone_unless_it_could_be_a_formula(text: str) -> None:
    assert table(written([row(action_text=text)]))[0]["What to do"] == text


def test_only_ids_that_would_be_mangled_are_wrapped() -> None:
    def cell(identifier: str) -> str:
        return table(written([row(customer_id=identifier)]))[0]["Customer ID"]

    for plain in ("12347", "C000001", "dec_01HZX", "anna@example.com", "user-42-b"):
        assert cell(plain) == plain
    for mangled in ("00123", "123456789012", "1E5", "2-3", "MAR1", "TRUE", " a_b", "1 2", "２"):
        assert cell(mangled) == f'="{mangled}"'


def test_a_file_is_made_bit_by_bit_from_rows_as_they_come() -> None:
    request = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal request
        for request in range(1, 20_001):
            yield row(customer_id=str(request))

    _, chunks = stream(rows(), "csv", "en")
    assert request == 0
    first = next(chunks)
    assert b'"1",' in first
    assert request < 1000
    assert sum(chunk.count(b"\r\n") for chunk in (first, *chunks)) == 20_001


def test_text_that_has_no_utf_8_does_not_break_off_the_file() -> None:
    for kind in ("csv", "ndjson"):
        assert "a?b" in written([row(reason="a\ud800b")], kind)


# NDJSON


@given(st.text(), st.floats())
def test_each_line_of_ndjson_is_an_object_with_all_fields_and_no_nan(text: str, number: float) -> None:
    sent = [row(reason=text, clv=number, how="control", decided_at=MOMENT), row(customer_id="00123")]
    lines = written(sent, "ndjson", "zh").splitlines()
    first, second = (json.loads(line, parse_constant=pytest.fail) for line in lines)
    assert list(first) == list(FIELDS)
    assert first["reason"] == text
    assert first["clv"] == (number if np.isfinite(number) else None)
    assert first["how"] == "control"
    assert first["decided_at"] == "2024-07-01T09:30:05.250000Z"
    assert second == row(customer_id="00123")


def test_ndjson_keeps_chinese_as_it_is() -> None:
    media, chunks = stream([row(reason="老客户", cost=Decimal("1.5"), clv=np.int64(7))], "ndjson", "en")
    content = b"".join(chunks).decode()
    assert media == "application/x-ndjson"
    assert '"reason": "老客户"' in content
    assert '"cost": 1.5' in content
    assert '"clv": 7' in content


# CRMs


MOMENTS = {  # as each importer reads them, for a shop in Shanghai
    "salesforce": "2024-07-01T09:30:05.000Z", "hubspot": "1719826205250", "zoho": "07/01/2024 17:30:05",
    "fxiaoke": "2024-07-01 17:30:05", "klaviyo": "2024-07-01 09:30:05+00:00",
    "braze": "2024-07-01T09:30:05Z", "dynamics": "2024-07-01 17:30:05", "wecom": "2024-07-01 17:30:05",
}  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("target", CRMS)
def test_a_crm_gets_ids_as_they_are_its_moments_and_texts_that_do_no_harm(target: str, language: Any) -> None:
    layout = layouts()[target]
    rows = [row(customer_id=i, action="coupon", reason="=1+1", decided_at=MOMENT) for i in IDENTIFIERS]
    text = written(rows, language=language, target=target, zone="Asia/Shanghai")
    read = table(text)
    headers = dict(zip(layout.columns, layout.headers(language), strict=True))
    assert text.startswith("\ufeff") == layout.bom
    assert [r[headers["customer_id"]] for r in read] == IDENTIFIERS
    assert {r[headers["action"]] for r in read} == {"coupon"}
    assert {r[headers["decided_at"]] for r in read} == {MOMENTS[target]}
    assert {r[headers["reason"]] for r in read} == {"'=1+1"}


@pytest.mark.parametrize("target", CRMS)
def test_a_crm_gets_no_controls_and_what_clears_a_field(target: str) -> None:
    layout = layouts()[target]
    headers = dict(zip(layout.columns, layout.headers("en"), strict=True))
    sent = row(customer_id="C1", reason='a\r\nb\x00c\u2028d|e"f', lifecycle_stage="champion")
    read = table(written([sent], target=target))[0]
    reason = "a b c d e f" if target == "zoho" else 'a b c d|e"f'
    assert read[headers["reason"]] == reason
    cleared = "#N/A" if target == "salesforce" else ""
    assert {read[headers[name]] for name in ("clv", "churn", "value_tier", "decided_at")} == {cleared}
    assert read[headers["decision_id"]] == ""


def test_a_value_that_the_reader_may_not_see_is_no_missing_value() -> None:
    read = table(written([row(customer_id="C1", churn="", value_tier="")], target="salesforce"))[0]
    assert read["Patron_Churn_Probability__c"] == read["Patron_Value_Tier__c"] == ""
    assert read["Patron_Value_Tier_Code__c"] == ""
    assert read["Patron_Lifetime_Value__c"] == "#N/A"


LIMITS = {"zoho": (25_000, 25), "hubspot": (1_048_575, 20), "salesforce": (None, 100),
          "klaviyo": (None, 50), "braze": (None, 500), "dynamics": (None, 8)}  # fmt: skip


def test_the_documented_limits_of_importers_are_those_of_their_layouts() -> None:
    known = layouts()
    assert {name: (known[name].max_rows, known[name].max_mb) for name in LIMITS} == LIMITS


@pytest.mark.parametrize("target", CRMS)
def test_what_outcomes_are_reported_by_is_in_every_layout(target: str) -> None:
    columns = layouts()[target].columns
    assert {"customer_id", "decision_id", "action", "reason", "decided_at"} <= set(columns)
    for language in ("en", "zh"):
        headers = [h if isinstance(h, str) else h[language] for h in columns.values()]
        assert len(set(headers)) == len(headers)
        coded = {name for name in CODES if CODES[name] in columns}
        assert coded <= set(columns), "a code is beside each label"
    if target == "salesforce":
        assert all(re.fullmatch(r"[A-Za-z](?:_?[A-Za-z0-9])*__c", str(h)) for h in columns.values())


def test_a_target_that_is_not_there_is_refused_before_anything_is_written() -> None:
    with pytest.raises(PatronError, match=r"no layout 'sap' .*; there are spreadsheet, zoho, fxiaoke"):
        stream([], "csv", "en", "sap")
    with pytest.raises(PatronError, match="zoho imports CSV, not NDJSON"):
        stream([], "ndjson", "en", "zoho")


def test_a_file_of_layouts_of_ones_own_is_used_and_checked(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[mine]\ndelimiter = ";"\n[mine.columns]\nclv = "Value"\ncustomer_id = { zh = "编号" }\n')
    sent = [row(customer_id="00123", clv=1.5)]
    assert written(sent, target="mine", own=own) == '"Value";"customer_id"\r\n1.5;"00123"\r\n'
    own.write_text('[mine.columns]\nname = "Name"\n')
    with pytest.raises(PatronError, match=r"own\.toml: mine\.columns\.name"):
        stream([], "csv", "en", "mine", own=own)
    for wrong in (tmp_path / "none.toml", LAYOUTS.with_suffix(".py")):
        with pytest.raises(PatronError, match="cannot be read"):
            stream([], "csv", "en", "mine", own=wrong)


def test_the_only_layout_of_a_file_needs_no_name(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[mine.columns]\nclv = "Value"\n')
    assert find_layout(None, own).headers("en") == ["Value"]
    own.write_text('[a.columns]\nclv = "A"\n[b.columns]\nclv = "B"\n')
    assert find_layout("b", own).headers("en") == ["B"]
    with pytest.raises(PatronError, match="has the layouts a, b; name one"):
        find_layout(None, own)


# Several files


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=30), st.integers(1, 8))
def test_files_have_at_most_so_many_rows_and_bytes_and_lose_no_row(ids: list[str], max_rows: int) -> None:
    layout = ExportLayout(columns={"customer_id": "ID"}, max_rows=max_rows, max_mb=0.000_2)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "a.csv"
        paths = write_files((row(customer_id=i) for i in ids), out, "en", layout, "UTC")
        assert [path.name for path in paths] == ["a.csv", *(f"a-{n}.csv" for n in range(2, len(paths) + 1))]
        assert sorted(Path(folder).iterdir()) == sorted(paths)
        tables = [table(path.read_bytes().decode()) for path in paths]
        assert all(len(t) <= max_rows and p.stat().st_size <= 200 for t, p in zip(tables, paths, strict=True))
    assert [r["ID"] for t in tables for r in t] == ids


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_archive_has_the_files_of_an_importer(kind: Any) -> None:
    sent = (row(customer_id=str(i)) for i in range(25_001))
    chunks = stream_archive(sent, kind, "en", "zoho", "UTC", "actions")
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"actions.{kind}", f"actions-2.{kind}"]
        parts = [archive.read(name) for name in archive.namelist()]
    ids = [
        [r["Patron Customer ID"] for r in table(part.decode())] if kind == "csv"
        else [line[0] for line in sheet(part)[1:]]
        for part in parts
    ]  # fmt: skip
    assert ids == [[str(i) for i in range(25_000)], ["25000"]]


def test_no_file_is_left_when_rows_fail_half_way(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from (row(customer_id=str(i)) for i in range(5))
        raise PatronError("the log cannot be read")

    for name in ("a.csv", "a.xlsx"):
        with pytest.raises(PatronError, match="the log"):
            write_files(rows(), tmp_path / name, "en", ExportLayout(columns={"clv": "V"}, max_rows=2), "UTC")
    assert list(tmp_path.iterdir()) == []


# Excel workbooks


def sheet(content: bytes | Path, name: int = 0) -> list[list[Any]]:
    read = CalamineWorkbook.from_path(str(content)) if isinstance(content, Path) else None
    return (read or CalamineWorkbook.from_filelike(io.BytesIO(content))).get_sheet_by_index(name).to_python()


def test_a_workbook_has_texts_numbers_and_times_of_the_shop() -> None:
    sent = [row(customer_id=i, reason=f, clv=1.005, churn=0.25, decided_at=MOMENT)
            for i, f in zip(IDENTIFIERS, FORMULAS * 3, strict=False)]  # fmt: skip
    media, chunks = stream(sent, "xlsx", "zh", zone="Asia/Shanghai")
    assert media == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    head, *lines = sheet(b"".join(chunks))
    place = {header: i for i, header in enumerate(head)}
    assert [line[place["客户编号"]] for line in lines] == IDENTIFIERS
    assert {line[place["决策时间"]] for line in lines} == {datetime(2024, 7, 1, 17, 30, 5)}  # noqa: DTZ001
    assert {line[place["客户终身价值"]] for line in lines} == {1.0}
    assert {line[place["流失概率"]] for line in lines} == {0.25}
    assert {line[place["成本"]] for line in lines} == {""}
    assert all("=1+1" not in str(line[place["成本"]]) for line in lines)


def test_a_workbook_holds_formulas_and_surrogates_as_text(tmp_path: Path) -> None:
    texts = ["=1+1", "@SUM(1)", "http://x.example", "a\ud800b", "x" * 40_000]
    _, chunks = stream([row(reason=t) for t in texts], "xlsx", "en", "hubspot")
    out = tmp_path / "a.xlsx"
    out.write_bytes(b"".join(chunks))
    read = [line[9] for line in sheet(out)[1:]]
    assert read == ["=1+1", "@SUM(1)", "http://x.example", "a?b", "x" * 32_767]
    with zipfile.ZipFile(out) as file:
        assert b"<f>" not in file.read("xl/worksheets/sheet1.xml")


def test_workbooks_are_split_and_milliseconds_stay_numbers(tmp_path: Path) -> None:
    columns: Any = {"customer_id": "ID", "decided_at": "At"}
    layout = ExportLayout(columns=columns, max_rows=2, time="unix_ms")
    sent = [row(customer_id=str(i), decided_at=MOMENT) for i in range(5)]
    paths = write_files(sent, tmp_path / "a.xlsx", "en", layout, "UTC")
    assert [path.name for path in paths] == ["a.xlsx", "a-2.xlsx", "a-3.xlsx"]
    assert [len(sheet(path)) for path in paths] == [3, 3, 2]
    assert sheet(paths[0])[1] == ["0", 1719826205250]


def test_a_full_sheet_continues_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.files.workbook.SHEET_ROWS", 2)
    _, chunks = stream([row(customer_id=str(i)) for i in range(3)], "xlsx", "en")
    content = b"".join(chunks)
    assert [len(sheet(content, n)) for n in (0, 1)] == [3, 2]


# What LibreOffice makes of it

Cell = tuple[str, str | None, str]  # what is shown, the formula behind it, the value's type
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:"
# Commas, quotes, UTF-8; as in US English, numbers and dates looked for everywhere, formulas evaluated.
EAGER = "CSV:44,34,76,1,,1033,false,true,false,false,false,0,true"


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory, without: Callable[[str], NoReturn]
) -> Callable[[bytes], list[list[Cell]]]:
    """A function that opens a CSV in LibreOffice and returns the cells of its rows."""
    office = shutil.which("soffice")
    if office is None:
        without("LibreOffice (soffice)")
    folder = tmp_path_factory.mktemp("office")

    def open_csv(content: bytes) -> list[list[Cell]]:
        (folder / "file.csv").write_bytes(content)
        subprocess.run(
            [office, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless",
             f"--infilter={EAGER}", "--convert-to", "fods", "--outdir", folder, folder / "file.csv"],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        return [
            list(_cells(line))
            for line in ET.parse(folder / "file.fods").iter(f"{{{OFFICE}table:1.0}}table-row")
        ]

    return open_csv


def _cells(line: ET.Element) -> Iterator[Cell]:
    for cell in line.iter(f"{{{OFFICE}table:1.0}}table-cell"):
        shown = "\n".join(_shown(p) for p in cell.iter(f"{{{OFFICE}text:1.0}}p"))
        formula, kind = (
            cell.get(f"{{{OFFICE}table:1.0}}formula"),
            cell.get(f"{{{OFFICE}office:1.0}}value-type"),
        )
        times = int(cell.get(f"{{{OFFICE}table:1.0}}number-columns-repeated", 1))
        yield from [(shown, formula, kind or "")] * min(times, 50)


def _shown(paragraph: ET.Element) -> str:
    """Its text; runs of blanks and tabs are elements of their own."""
    text = paragraph.text or ""
    for part in paragraph:
        name = part.tag.removeprefix(f"{{{OFFICE}text:1.0}}")
        text += {"s": " " * int(part.get(f"{{{OFFICE}text:1.0}}c", 1)), "tab": "\t"}.get(name, "") or _shown(
            part
        )
        text += part.tail or ""
    return text


def _scrambled(count: int) -> list[str]:
    """Short ids in which numbers, dates, money and formulas are likely."""
    dice = random.Random(5)
    parts = [*"0123456789" * 3, *"eE-/:.,+%$€ ()=@_#", "Mar", "may", "TRUE", "PM", "de", "年", "A", "x"]
    return ["".join(dice.choices(parts, k=dice.randint(1, 6))) for _ in range(count)]


def test_libreoffice_shows_every_id_as_it_is(opened: Callable[[bytes], list[list[Cell]]]) -> None:
    ids = [*IDENTIFIERS, *_scrambled(3000)]
    cells = [
        line[0] for line in opened(written([row(customer_id=i) for i in ids]).encode())[1 : len(ids) + 1]
    ]
    long = {i for i in ids if len(i) > 255}
    assert [shown for shown, _, _ in cells] == ["'" + i if i in long else i for i in ids]
    formulas = [(shown, formula) for shown, formula, _ in cells if formula is not None]
    assert len(formulas) > 1000
    assert all(formula == 'of:="{}"'.format(shown.replace('"', '""')) for shown, formula in formulas)


def test_libreoffice_evaluates_no_text_and_keeps_chinese(
    opened: Callable[[bytes], list[list[Cell]]],
) -> None:
    texts = [f for f in FORMULAS if not set(f) & set("\r\n\x00")]
    rows = [
        row(customer_id="C1", action_text=t, reason="老客户,“回来”", clv=-12.5, decided_at=MOMENT)
        for t in texts
    ]
    place = {field: i for i, field in enumerate(layouts()["spreadsheet"].columns)}
    lines = opened(written(rows, language="zh").encode())
    assert [shown for shown, _, _ in lines[0][:3]] == ["客户编号", "决策编号", "营销动作"]
    for text, line in zip(texts, lines[1:], strict=False):
        shown, formula, kind = line[place["action_text"]]
        assert (text_read(shown), formula, kind) == (text, None, "string")
        assert line[place["reason"]] == ("老客户,“回来”", None, "string")
        assert line[place["clv"]] == ("-12.5", None, "float")
        assert line[place["decided_at"]][1:] == (None, "date")
    control = opened(b"=1+1,x\r\n")[0][0]
    assert control == ("2", "of:=1+1", "float"), "LibreOffice was to evaluate formulas, or nothing is shown"
