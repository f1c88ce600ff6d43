"""The quality of the models on real data: `python -m benchmarks.quality [--data FOLDER] [--only NAME]`.

Deterministic. Each part describes its measures; parts without data in the folder are skipped.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from benchmarks.harness.report import Result, publish
from benchmarks.quality import (
    DATA,
    bank,
    cdnow,
    next_order,
    online_retail,
    products,
    reviews_en,
    reviews_zh,
    telco,
)

PARTS = {
    "online_retail": online_retail,
    "cdnow": cdnow,
    "reviews_en": reviews_en,
    "reviews_zh": reviews_zh,
    "bank": bank,
    "telco": telco,
    "products": products,
    "next_order": next_order,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How good answers are on real data.")
    parser.add_argument("--data", type=Path, default=DATA, help="Where the data sets are, a folder for each.")
    parser.add_argument("--only", choices=PARTS, help="One part of it.")
    arguments = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    results: dict[str, Result] = {}
    for name, part in PARTS.items():
        file = arguments.data / part.FILE
        if arguments.only not in (None, name):
            continue
        if file.exists():
            results |= part.measure(file)
        else:
            print(f"{name}: {file} is not there")
    if not results:
        raise SystemExit("nothing was measured: name the folder of the data with --data")
    publish("quality", results)


if __name__ == "__main__":
    main()
