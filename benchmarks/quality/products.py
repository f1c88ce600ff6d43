"""Next products on Online Retail (UCI): customers' first baskets from each of seven months on.

For each customer who had bought before and returned within ``DAYS`` days, the first basket is compared with
the first ten products of each ranking; products that are not merchandise (postage) are left out everywhere.
Each ranking uses only data known at the moment. "New" is about products that the customer had not bought
before, since repeat purchases hide discovery. Settings were chosen on moments from 2010-09-01 to 2010-12-01
and baskets before 2011-03-01. Differences have 95 % intervals (paired bootstrap over customers, who are drawn
at all moments at once).
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from benchmarks.harness.report import Result
from core.calendar import midnight
from core.home import Home
from events.files.imports import import_file
from events.queries.merchandise import merchandise
from models.measures.metrics import paired_bootstrap
from models.products.purchases import read
from models.products.ranker import fit
from training.products.backtest import BEFORE, MEASURES, OURS, POPULAR, K, RankingResults, backtest

FILE = "online-retail/online_retail_2009_2011.parquet"
SOURCE = "online-retail"
ORIGINS = tuple(date(2011, month, 1) for month in range(3, 10))
DAYS = 100


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        import_file(home, str(file), SOURCE)
        goods = merchandise(home)
        lines, zone = goods.order_lines, goods.time_zone
        whole = read(lines, goods.as_of, zone, goods.never)
        learnt = (fit(lines, midnight(day, zone), zone, goods.never) for day in ORIGINS)
        exams = [backtest(ranking, whole, DAYS) for ranking in learnt]
    print(f"First baskets within {DAYS} days, the first {K} products:")
    results: dict[str, Result] = {}
    for name in MEASURES:
        results |= compare(f"products_{name}", name, [every for every, _ in exams], (BEFORE, POPULAR))
    for name in MEASURES:  # without products bought before, the two baselines are equal
        results |= compare(f"products_new_{name}", name, [new for _, new in exams], (POPULAR,))
    return results


def compare(label: str, name: str, exams: list[RankingResults], peers: tuple[str, ...]) -> dict[str, Result]:
    """A measure at each moment, and the mean difference from each peer with its interval."""
    results: dict[str, Result] = {}
    for day, exam in zip(ORIGINS, exams, strict=True):
        means = {ranking: exam.mean(ranking, name) for ranking in (OURS, *peers)}
        values_in_words = ", ".join(f"{in_words(ranking)} {value:.4f}" for ranking, value in means.items())
        print(f"  {label} {day}: {values_in_words}; {len(exam.customers):,} customers")
        results[f"{label}_{day:%Y_%m_%d}"] = Result(
            means[OURS], f"against {in_words(peers[0])}", means[peers[0]], better="higher"
        )
    customers = [exam.customers for exam in exams]
    for ranking in peers:
        pairs = [(e.values[OURS, name], e.values[OURS, name], e.values[ranking, name]) for e in exams]
        mean, low, high = paired_bootstrap(pairs, lambda _, value: float(value.mean()), customers=customers)
        print(f"  {label}: mean difference from {in_words(ranking)} {mean:+.4f} ({low:+.4f} to {high:+.4f})")
        for suffix, value in {"": mean, "_low": low, "_high": high}.items():
            key = f"{label}_over_{ranking}{suffix}"
            results[key] = Result(value, f"over {in_words(ranking)}", better="higher")
    return results


def in_words(ranking: str) -> str:
    return ranking.replace("_", " ")
