"""Logging of long-running processes to stderr: one line per event, as JSON for machines or as text for
people.

A line holds the type and the place of an unexpected error, not its message, which may name customers.
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
    "backup", "commands", "console", "core", "decisions", "events", "features",
    "models", "monitoring", "records", "serving", "training",
)  # fmt: skip
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; empty outside requests."""


def place(error: BaseException) -> str:
    """Where an error arose: ``file:line`` of the innermost frame in Patron's code, else of the innermost
    frame.
    """
    frames = [
        (Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    for file, line in reversed(frames):
        if file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] in PACKAGES:
            return f"{file.relative_to(ROOT)}:{line}"
    return f"{frames[-1][0].name}:{frames[-1][1]}" if frames else "unknown"


class _LineFormatter(logging.Formatter):
    """The common part of both formats."""

    def record_fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of a record besides its message."""
        fields: dict[str, Any] = {}
        if (request_id := REQUEST_ID.get()) is not None:
            fields["request_id"] = request_id
        fields |= getattr(record, "fields", {})
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields |= {"error": type(error).__name__, "place": place(error)}
        return fields


class JsonLine(_LineFormatter):
    """Formats a record as a JSON object: its time in UTC, level, logger, message and further fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(line | self.record_fields(record), default=str)


class TextLine(_LineFormatter):
    """Formats a record as text."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; more if its message has more."""
        fields = self.record_fields(record)
        error = f": {fields['error']} at {fields['place']}" if "error" in fields else ""
        request = f" [request {fields['request_id']}]" if "request_id" in fields else ""
        return f"{record.levelname} {record.name}: {record.getMessage()}{error}{request}"


def configure(form: Format | None) -> None:
    """Log to stderr, including Python's warnings and exceptions in threads.

    Args:
        form: the format; None for text if stderr is a terminal, and JSON otherwise.
    """
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if form == "json" else TextLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("patron", *PACKAGES):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "?"
    logging.getLogger(__name__).error("the thread %s ended", name, exc_info=failed.exc_value)
