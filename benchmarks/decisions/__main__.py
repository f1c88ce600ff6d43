"""Decisions and their results: `python -m benchmarks.decisions [--only NAME]`.

Each part, a module beside this one, describes its measures.
"""

from __future__ import annotations

import argparse

from benchmarks.decisions import decide_one, plan_million, results_coverage, value
from benchmarks.harness.report import Result, publish

PARTS = {
    "decide_one": decide_one,
    "plan_million": plan_million,
    "value": value,
    "results_coverage": results_coverage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How good decisions and their results are.")
    parser.add_argument("--only", choices=PARTS, help="One part of it.")
    arguments = parser.parse_args()
    results: dict[str, Result] = {}
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            results |= part.measure()
    publish("decisions", results)


if __name__ == "__main__":
    main()
