"""The files of a drift check: the verdict as JSON, and Evidently's report as HTML.

Only this module uses Evidently. It is imported on demand, since that takes seconds and no server needs it.
"""

from __future__ import annotations

import html
import json
import os
import warnings
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import files
from models.measures.reference import MAX_CATEGORIES, MIN_CUSTOMERS
from monitoring.check import IDS, DriftReport

MAX_ROWS = 5_000  # of each side: of 20,000, the picture looks the same and takes three times as long
SEED = 0

# The page contains its own scripts, styles and fonts; this policy stops browsers from fetching others.
_ALONE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';"
    " font-src data:; img-src data: blob:"
)


def write(
    report: DriftReport, reference: pd.DataFrame | None, current: pd.DataFrame, folder: Path
) -> tuple[Path, Path | None]:
    """Write ``MODEL-UNTIL.json`` and, if Evidently succeeds, ``MODEL-UNTIL.html``.

    Args:
        reference: some of the training customers, one column per feature; None if not stored.
        current: some of the vectors that were checked, as :func:`monitoring.run.current_rows` returns them.
        folder: created if it is missing.

    Returns:
        The JSON file, and the HTML file; None for the latter if it failed, with the reason in the JSON.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{report.model}-{report.until.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    page, reason = _picture(report, reference, current)
    picture = folder / f"{stem}.html" if page else None
    if picture:
        files.replace(picture, page)
    verdict = folder / f"{stem}.json"
    about = {"html": picture.name if picture else None, "html_missing_because": reason or None}
    files.replace(verdict, json.dumps(report.as_dict() | about, indent=1, allow_nan=False) + "\n")
    return verdict, picture


def _picture(report: DriftReport, reference: pd.DataFrame | None, current: pd.DataFrame) -> tuple[str, str]:
    """Evidently's page, or the reason why there is none."""
    if reference is None:
        return "", "the model's training customers were not kept"
    columns = _usable(reference, current)
    if len(columns) < 2:
        return "", f"it needs 2 columns with values on both sides, and there are {len(columns)}"
    categorical = [name for name in columns if _categorical(reference[name]) or _categorical(current[name])]
    then, now = _anonymous(reference[columns], current[columns], categorical)
    try:
        page = _evidently(then, now, categorical)
    except Exception as error:  # the verdict must be written whatever fails inside Evidently
        return "", f"Evidently could not draw it ({type(error).__name__})"
    return _titled(page, report, len(then), len(now)), ""


def _usable(reference: pd.DataFrame, current: pd.DataFrame) -> list[str]:
    """The columns with enough values on both sides to show, without ids."""
    both = [str(name) for name in reference.columns if name in current and name not in IDS]
    sides = reference, current
    return [name for name in both if all(side[name].count() >= MIN_CUSTOMERS for side in sides)]


def _categorical(column: pd.Series[Any]) -> bool:
    values = column.dropna()
    kind = pd.api.types.infer_dtype(values)
    return kind not in {"integer", "floating", "mixed-integer-float", "decimal", "empty"}


def _anonymous(
    then: pd.DataFrame, now: pd.DataFrame, categorical: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides anonymised: several customers share every value, and each column is permuted on its own.

    The page prints categories, extremes and means of a few neighbouring rows. Evidently's drift measures look
    at one column at a time, so the anonymisation does not change them.
    """
    draw = np.random.default_rng(SEED)
    sides: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in then.columns:
        columns = then[name], now[name]
        shared = _pooled(*columns) if name in categorical else tuple(map(_in_tens, columns))
        for side, values in zip(sides, shared, strict=True):
            side[name] = draw.permutation(values)
    return pd.DataFrame(sides[0]), pd.DataFrame(sides[1])


def _pooled(*columns: pd.Series[Any]) -> tuple[Any, ...]:
    """Texts, with the rare ones merged into one category."""
    texts = [side.astype(object).where(side.notna(), "(missing)").map(str) for side in columns]
    counts = pd.concat(texts).value_counts()
    common = counts[counts >= MIN_CUSTOMERS].index[:MAX_CATEGORIES]
    return tuple(side.where(side.isin(common), "(other)").to_numpy(dtype=object) for side in texts)


def _in_tens(column: pd.Series[Any]) -> Any:
    """Numbers in order, each run of ten replaced by its middle one (microaggregation); missing ones last."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    present = np.sort(values[np.isfinite(values)])
    last = max(len(present) // MIN_CUSTOMERS - 1, 0)  # a remainder joins the last full group of ten
    tens = np.minimum(np.arange(len(present)) // MIN_CUSTOMERS, last)
    shared = present[np.minimum(tens * MIN_CUSTOMERS + MIN_CUSTOMERS // 2, len(present) - 1)]
    return np.append(shared, np.full(len(values) - len(present), np.nan))


def _evidently(then: pd.DataFrame, now: pd.DataFrame, categorical: list[str]) -> str:
    os.environ.setdefault("DO_NOT_TRACK", "1")  # turns off Evidently's telemetry
    # Evidently 0.7 uses numpy's and litestar's deprecated names, and divides by empty bins.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        import evidently
        from evidently.presets import DataDriftPreset

        numerical = [name for name in then.columns if name not in categorical]
        columns = evidently.DataDefinition(numerical_columns=numerical, categorical_columns=categorical)
        sides = [evidently.Dataset.from_pandas(frame, columns) for frame in (now, then)]
        page: str = evidently.Report([DataDriftPreset()]).run(*sides).get_html_str(as_iframe=False)
    return page


def _titled(page: str, report: DriftReport, then: int, now: int) -> str:
    """Add a note that the JSON verdict counts, and a policy that forbids the page network access.

    Args:
        then, now: the numbers of customers in the picture.
    """
    title = html.escape(f"{report.model} version {report.version}, drift until {report.until.isoformat()}")
    words = html.escape(report.words)
    head = f'<meta http-equiv="Content-Security-Policy" content="{_ALONE}"><title>{title}</title>'
    note = (
        f"<p><b>{title}</b><br>{words}<br>The verdict, which counts all customers, is in the JSON file next"
        f" to this page. The picture below is of {now:,} of these customers, each with the last prediction,"
        f" and of {then:,} reference customers; it shows Evidently's own measures, which may differ.</p>"
    )
    return page.replace("<head>", f"<head>{head}", 1).replace("<body>", f"<body>{note}", 1)
