"""Later orders by segment: `python -m benchmarks.segments [FILE]`.

Online Retail as of 2011-09-01: for each segment its size, its share of a year's net revenue, and
the share of its customers who order within the following 90 days.
Fails if value tiers or recency scores do not order customers by their repeat rate.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from benchmarks.harness.report import Result, publish
from benchmarks.quality import DATA
from benchmarks.quality.online_retail import FILE, SOURCE
from core.calendar import midnight
from core.errors import PatronError
from core.home import Home
from events import lake
from events.files.imports import import_file
from features.group import compute
from features.groups import FEATURES
from features.offline import boundaries, populations
from features.offline.segment_overview import KINDS
from models.questions.labels import ordered_within

DAYS = 90
AS_OF = date(2011, 9, 1)
ORDERED: dict[str, list[object]] = {
    "value_tier": ["A", "B", "C", "D"],
    "recency_score": [5, 4, 3, 2, 1],
}  # most likely to return first


def main(arguments: Sequence[str]) -> int:
    """Run on the given file, or on the one next to the project."""
    file = Path(arguments[0]) if arguments else DATA / FILE
    if not file.exists():
        print(f"benchmarks.segments needs Online Retail as Parquet; {file} is not there: name it")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        import_file(home, str(file), SOURCE)
        customers = features_of_all(home)
    results = {}
    for kind in (*KINDS, "recency_score"):
        segments = table(customers, kind)
        print(f"\n{kind}\n{segments.to_string(float_format='{:.3f}'.format)}")
        for name, row in segments.iterrows():
            results[f"{kind}_{name}"] = Result(row["repeat_rate"], "repeat rate", better="higher")
    for kind, order in ORDERED.items():
        rates = table(customers, kind)["repeat_rate"].reindex(pd.Index(order))
        if not rates.is_monotonic_decreasing:
            raise PatronError(
                f"{kind} does not put customers in the order of their repeat rate: {dict(rates)}"
            )
    publish("segments", results)
    return 0


def features_of_all(home: Home) -> pd.DataFrame:
    """The segments and the net spend of all customers, and whether they ordered in the following days."""
    backend, zone = lake.connect(), home.shop().time_zone
    moment = midnight(AS_OF, zone)
    events = boundaries.load_events(FEATURES.values(), home, backend, [moment])
    everyone = populations.everyone(events, moment, zone).cache()
    names = [*KINDS, "recency_score", "net_spend_365d"]
    values: pd.DataFrame = compute(events, everyone, [FEATURES[name] for name in names]).to_pandas()
    values["recency_score"] = values["recency_score"].astype("Int64")
    after = ordered_within(events, everyone, DAYS).to_pandas()
    return values.merge(after, on=["customer_key", "as_of"], validate="1:1")


def table(customers: pd.DataFrame, kind: str) -> pd.DataFrame:
    """By segment: customers, their share, the share of net spend, and the repeat rate."""
    groups = customers.groupby(kind)
    segments = pd.DataFrame({"customers": groups.size()})
    segments["share_of_customers"] = segments["customers"] / len(customers)
    segments["share_of_net_spend"] = groups["net_spend_365d"].sum() / customers["net_spend_365d"].sum()
    segments["repeat_rate"] = groups["label"].mean()
    return segments.sort_values("repeat_rate", ascending=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
