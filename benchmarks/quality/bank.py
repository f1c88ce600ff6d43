"""Bank marketing (Moro et al., 2014): will this call sell a deposit? By random folds, and by time.

Without ``duration``, which is known only after the call. The file has no dates and is in order of time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.harness.report import Result
from benchmarks.quality.tables import mean_auc
from events.files.table import open_table
from training.tables.holdouts import folds, hold_out
from training.tables.labelled import Labelled, label

FILE = "bank-marketing/bank-additional-full.csv"
LIMIT = 0.80  # AUC by random folds
NOT_KNOWN_BEFORE = ("duration",)


def measure(file: Path) -> dict[str, Result]:
    """Five random folds; and learnt from the first four fifths of the calls, the last fifth."""
    at_random = label(open_table(file), "y", drop=NOT_KNOWN_BEFORE)
    drawn, drawn_column = mean_auc("bank, random folds", at_random, folds(at_random.y, 5))
    by_time = in_order(file)
    later, later_column = mean_auc("bank, last fifth", by_time, [hold_out(by_time)])
    print(
        f"  Random folds promise AUC {drawn:.3f}; on the last fifth of the calls it is {later:.3f}. The file"
        " runs from 2008 to 2010, through the financial crisis: random folds let a model learn from calls of"
        " the very weeks that it is asked about, which no model in use can. The later figure is the one to"
        " expect."
    )
    return {
        "bank_random_auc": Result(drawn, "AUC", drawn_column, LIMIT, better="higher"),
        "bank_time_auc": Result(later, "AUC", later_column, better="higher"),
    }


def in_order(file: Path) -> Labelled:
    """The calls with their number as the time."""
    with tempfile.TemporaryDirectory() as folder:
        numbered = Path(folder, "calls.parquet")
        calls = pyarrow.csv.read_csv(file, parse_options=pyarrow.csv.ParseOptions(delimiter=";"))
        pq.write_table(calls.append_column("call", pa.array(range(len(calls)))), numbered)
        return label(open_table(numbered), "y", "call", NOT_KNOWN_BEFORE)
