"""What processes that stay tell on stderr: one line per event, as JSON for machines or as text for people.

Lines hold no values of an error that nobody expected, only its type and its place: values may name customers.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Format = Literal["json", "text"]
ROOT = Path(__file__).parents[1]
PACKAGES = (
    "commands", "core", "decisions", "events", "features",
    "models", "monitoring", "records", "serving", "training",
)  # fmt: skip
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is answered, where one is."""


def place(error: BaseException) -> str:
    """Where an error arose: ``file:line`` of the innermost frame of ours, else of the innermost one."""
    frames = [
        (Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    for file, line in reversed(frames):
        if file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] in PACKAGES:
            return f"{file.relative_to(ROOT)}:{line}"
    return f"{frames[-1][0].name}:{frames[-1][1]}" if frames else "unknown"


class _LineFormatter(logging.Formatter):
    """What both forms share."""

    def record_fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a record tells besides its message."""
        fields: dict[str, Any] = {}
        if (request_id := REQUEST_ID.get()) is not None:
            fields["request_id"] = request_id
        fields |= getattr(record, "fields", {})
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields |= {"error": type(error).__name__, "place": place(error)}
        return fields


class JsonLine(_LineFormatter):
    """A record as a JSON object: its time in UTC, level, logger and message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(line | self.record_fields(record), default=str)


class TextLine(_LineFormatter):
    """A record in words."""

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line, unless its message has more."""
        fields = self.record_fields(record)
        error = f": {fields['error']} at {fields['place']}" if "error" in fields else ""
        request = f" [request {fields['request_id']}]" if "request_id" in fields else ""
        return f"{record.levelname} {record.name}: {record.getMessage()}{error}{request}"


def configure(form: Format | None) -> None:
    """Have this process log to stderr, warnings of Python and threads that fail included.

    Args:
        form: None for text where stderr is a terminal, and JSON elsewhere.
    """
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if form == "json" else TextLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("patron").setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "?"
    logging.getLogger(__name__).error("the thread %s ended", name, exc_info=failed.exc_value)
