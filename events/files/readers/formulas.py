"""Formulas of an .xlsx sheet whose result cannot be read."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

_TAG = rb"<(?:\w+:)?"
_END = rb"</(?:\w+:)?"
_FORMULA = _TAG + rb"f\b[^>]*(?:/>|>[^<]*" + _END + rb"f>)"
_NO_VALUE = rb"(?:" + _TAG + rb"v\s*/>|" + _TAG + rb"v>\s*" + _END + rb"v>)?"
_UNSAVED = re.compile(_FORMULA + rb"\s*" + _NO_VALUE + rb"\s*" + _END + rb"c>")
_ERROR = re.compile(_TAG + rb"c\b[^>]*\bt=\"e\"")
_WORKBOOK, _RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_RELATION_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def notes(path: Path, sheet: str) -> list[str]:
    """What was read as blank because of a formula, in words; of other workbooks than .xlsx nothing.

    A program that writes workbooks without computing them saves formulas without results.
    """
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        part = _part(archive, sheet)
        content = archive.read(part) if part else b""
    unsaved, errors = len(_UNSAVED.findall(content)), len(_ERROR.findall(content))
    texts = []
    if unsaved:
        texts.append(
            f"{unsaved:,} formulas have no saved result and were read as blank; open the workbook in a"
            " spreadsheet program, save it, and read it again"
        )
    if errors:
        texts.append(f"{errors:,} cells show an error such as #REF! and were read as blank")
    return texts


def _part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The file of a sheet within an .xlsx workbook."""
    names = archive.namelist()
    if _WORKBOOK not in names or _RELATIONS not in names:
        return None
    try:
        workbook, relations = (ElementTree.fromstring(archive.read(name)) for name in (_WORKBOOK, _RELATIONS))
    except ElementTree.ParseError:
        return None
    ids = [e.get(_RELATION_ID) for e in workbook.iter() if e.get("name") == sheet and e.get(_RELATION_ID)]
    targets = {element.get("Id"): str(element.get("Target")) for element in relations}
    target = targets.get(ids[0]) if ids else None
    part = target.lstrip("/") if target else ""
    part = part if part.startswith("xl/") else f"xl/{part}"
    return part if part in names else None
