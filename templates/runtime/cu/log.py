"""Logs: one JSON object a line on stdout, which the container's log keeps."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

encode = json.JSONEncoder(default=str).encode


def line(created: float, level: str, event: str, fields: Mapping[str, object]) -> str:
    """`created` is in unix seconds; `fields` go beside it."""
    time = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return encode({"time": time, "level": level, "event": event, **fields})


class Jsonl(logging.Formatter):
    """`extra={"fields": {...}}` of a record become members of its line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return line(record.created, record.levelname.lower(), record.getMessage(), fields)


def set_up_logging() -> None:
    """Send what any library logs to stdout, as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Jsonl())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
