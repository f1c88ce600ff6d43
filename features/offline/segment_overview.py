"""The segment overview: size, value, change, reach, transitions between stages, and distinguishing features.

Computed at the end of a build from the stored snapshots, and stored as JSON for the service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from core import files
from core.errors import NothingThere
from core.home import Home
from events import lake
from features.group import Feature
from features.groups import FEATURES, features_of
from features.groups.segment_rules import RFM, STAGES, TIERS, Segment
from features.groups.segments import segments
from features.offline.populations import month_before
from features.offline.rfm_grid import rfm_grid
from features.offline.snapshot_set import SnapshotSet

KINDS: dict[str, Mapping[str, Segment]] = {
    "lifecycle_stage": STAGES,
    "value_tier": TIERS,
    "rfm_segment": RFM,
    "taste_cluster": {},
}
MAX_DIFFERENCES = 3
MIN_DIFFERENCE = 0.15  # from 0.5, of the chance that a member exceeds another
MAX_CORRELATION = 0.8  # of the ranks of two features that are both listed
SAMPLE = 20_000  # customers from whom differences are computed
MONTHS = 12  # over which transitions between stages are counted
SEED = 7


def read(home: Home) -> dict[str, Any]:
    """The overview of the last build.

    Raises:
        NothingThere: nothing was built from the current events.
    """
    path = home.snapshots / lake.metadata(home).generation / "segments.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NothingThere(f"there are no segments in {home.path}; run `patron build`") from error
    return content


def write(home: Home, built: SnapshotSet) -> None:
    """Write the overview of a build, in one step."""
    path = home.snapshots / lake.metadata(home).generation / "segments.json"
    files.replace(path, json.dumps(overview(home, built), ensure_ascii=False, indent=1))


def overview(home: Home, built: SnapshotSet) -> dict[str, Any]:
    """Every segment of every kind, as of the latest build."""
    by_name = features_of(home)
    now = built.everyone(built.current)
    sample = now.sample(SAMPLE, random_state=SEED) if len(now) > SAMPLE else now
    ranks = _ranks(sample, by_name)
    before = month_before([t for t in built.as_ofs if t < built.current], built.current)
    earlier = built.frame(segments, before[0]) if before else None
    return {
        "as_of": built.current.isoformat(),
        "compared_with": before[0].isoformat() if before else None,
        "currency": home.shop().currency,
        "customers": len(now),
        "kinds": [_kind(name, now, earlier, sample, ranks, by_name) for name in KINDS],
        "moves": moves(built),
        "rfm_grid": rfm_grid(now),
    }


def _kind(
    name: str,
    now: pd.DataFrame,
    earlier: pd.DataFrame | None,
    sample: pd.DataFrame,
    ranks: pd.DataFrame,
    by_name: Mapping[str, Feature],
) -> dict[str, Any]:
    counts = now[name].value_counts()
    known = [n for n in KINDS[name] if n in counts] + sorted(n for n in counts.index if n not in KINDS[name])
    revenue = float(now["net_spend_365d"].sum())
    before = None if earlier is None else earlier[name].value_counts()
    described = []
    for value in known:
        members = now[now[name] == value]
        words = KINDS[name].get(value, Segment(value, value, f"spend most like this taste: {value}"))
        net = float(members["net_spend_365d"].sum())
        newsletter = members["newsletter"].dropna()
        described.append(
            {
                "name": value,
                "filter": f"{name}:{value}",
                "english": words.english,
                "chinese": words.chinese,
                "meaning": words.meaning,
                "customers": len(members),
                "share_of_customers": len(members) / len(now),
                "net_spend_365d": round(net, 2),
                "share_of_net_spend_365d": net / revenue if revenue else None,
                "net_spend_365d_per_customer": round(net / len(members), 2),
                "newsletter_share": float(newsletter.astype(bool).mean()) if len(newsletter) else None,
                "customers_before": None if before is None else int(before.get(value, 0)),
                "differs_by": differences(sample, ranks, (sample[name] == value).to_numpy(), by_name),
            }
        )
    return {
        "name": name,
        "meaning": " ".join(by_name[name].description.split()),
        "customers_in_none": int(now[name].isna().sum()),
        "segments": described,
    }


def _ranks(frame: pd.DataFrame, by_name: Mapping[str, Feature]) -> pd.DataFrame:
    """Ranks of the numeric features from 0 to 1, with missing values as NaN; constant ones left out."""
    columns = {}
    for name, feature in by_name.items():
        if feature.group is segments or feature.dtype not in ("int64", "float64"):
            continue
        values = frame[name].to_numpy(np.float64)
        if len(np.unique(values[~np.isnan(values)])) > 1:
            columns[name] = pd.Series(values, frame.index).rank(pct=True)
    return pd.DataFrame(columns, index=frame.index)


def differences(
    frame: pd.DataFrame, ranks: pd.DataFrame, inside: Any, by_name: Mapping[str, Feature] = FEATURES
) -> list[dict[str, Any]]:
    """The features that best distinguish members from other customers, with medians of both.

    ``chance`` is the probability that a member has a higher value than another customer (Mann and Whitney's
    statistic, 1947), which is robust to outliers. Of correlated features only the first is listed.
    """
    by_strength: list[tuple[float, str, float]] = []
    for name in ranks:
        known = ranks[name].notna().to_numpy()
        n, m = int((inside & known).sum()), int((~inside & known).sum())
        if n and m:
            place = ranks[name].to_numpy()[inside & known] * (n + m)
            chance = float((place.sum() - n * (n + 1) / 2) / (n * m))
            by_strength.append((abs(chance - 0.5), str(name), chance))
    chosen: list[dict[str, Any]] = []
    for strength, name, chance in sorted(by_strength, key=lambda f: (-round(f[0], 6), f[1])):
        if strength < MIN_DIFFERENCE or len(chosen) == MAX_DIFFERENCES:
            break
        if any(_alike(ranks[name], ranks[other["feature"]]) for other in chosen):
            continue
        here, there = float(frame[name][inside].median()), float(frame[name][~inside].median())
        unit = by_name[name].unit
        chosen.append(
            {
                "feature": name,
                "unit": unit,
                "median": here,
                "median_of_others": there,
                "chance": round(chance, 3),
                "words": f"{name} {here:.3g} against {there:.3g} {unit} (medians)",
            }
        )
    return chosen


def _alike(ranks: pd.Series, others: pd.Series) -> bool:
    """Whether two features rank customers alike; no if either is constant among those who have both."""
    both = (ranks.notna() & others.notna()).to_numpy()
    x, y = ranks.to_numpy()[both], others.to_numpy()[both]
    if both.sum() < 3 or min(np.ptp(x), np.ptp(y)) == 0:
        return False
    return bool(abs(np.corrcoef(x, y)[0, 1]) > MAX_CORRELATION)


def moves(built: SnapshotSet) -> dict[str, Any] | None:
    """The number of customers per pair of stages in successive months, over the last year.

    None if no two successive months are stored.
    """
    stored = [t for t in built.as_ofs if t < built.current][-MONTHS - 1 :]
    pairs = [(a, b) for a, b in pairwise(stored) if b - a < timedelta(days=32)]
    counts = pd.DataFrame(0, index=list(STAGES), columns=list(STAGES))
    for before, after in pairs:
        was, then = (built.frame(segments, moment).set_index("customer_key") for moment in (before, after))
        counts = counts.add(pd.crosstab(was["lifecycle_stage"], then["lifecycle_stage"]), fill_value=0)
    if not pairs:
        return None
    table = counts.reindex(index=list(STAGES), columns=list(STAGES), fill_value=0).astype(int)
    totals = table.sum(axis=1)
    return {
        "from": pairs[0][0].isoformat(),
        "to": pairs[-1][1].isoformat(),
        "months": len(pairs),
        "customers": table.to_dict(orient="index"),
        # Rates are undefined for a stage without customers.
        "rates": table[totals > 0].div(totals[totals > 0], axis=0).to_dict(orient="index"),
    }
