"""The blanks of Chinese text: one between an ideograph and Latin letters, digits or code, and no others.

``未来 180 天``, ``请运行 `patron build```. A date has none inside, ``2026年11月30日``, and none before the
next ideograph. Full-width marks have none on either side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_IDEOGRAPH = "[\u4e00-\u9fff]"
_MISSING = re.compile(
    rf"(?<={_IDEOGRAPH})(?=[A-Za-z0-9€£$¥+−])|(?<=[A-Za-z0-9%])(?![年月日])(?={_IDEOGRAPH})"
)
_IN_DATE = re.compile(rf"(?<=\d[年月]) (?=\d)|(?<=\d[年月日]) (?={_IDEOGRAPH})")
_AT_MARK = re.compile(" +(?=[，。；：？！、（）“”])|(?<=[，。；：？！、（）“”]) +")
_EDGES = re.compile(r"(.)(.{2,}?)(\d[年月日]|.)", re.DOTALL)
_FIRST_STAND_IN = 0xE000  # of Unicode's private use


def filled(template: str, values: Mapping[str, str]) -> str:
    """A Chinese template with its values, whose own blanks stay as they are.

    Args:
        template: in the form of ``str.format``.
    """
    edges, inside = {}, {}
    for i, (name, value) in enumerate(values.items(), _FIRST_STAND_IN):
        match = _EDGES.fullmatch(value)
        edges[name] = f"{match[1]}{chr(i)}{match[3]}" if match else value
        inside[i] = match[2] if match else ""
    return spaced(template.format(**edges)).translate(inside)


def spaced(text: str) -> str:
    """A text in which blanks follow the rule; one without ideographs, or with an open code, as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0 or not re.search("[\u4e00-\u9fff，。；：？！、（）]", text):
        return text
    for i, part in enumerate(parts[::2]):
        part = _AT_MARK.sub("", _IN_DATE.sub("", _MISSING.sub(" ", part)))
        if i > 0 and re.match(_IDEOGRAPH, part):
            part = f" {part}"
        if 2 * i + 1 < len(parts) and re.search(f"{_IDEOGRAPH}$", part):
            part = f"{part} "
        parts[2 * i] = part
    return "`".join(parts)
