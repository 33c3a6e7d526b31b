"""The log: one line a record, text or JSON, every record through the redactor before it is written.

Messages and traces contain text of callers, agents and repositories. No character of it reaches the log raw that a
terminal acts on, that is invisible, or that changes the reading order.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from moonmind_appliance.printable import escape, escape_json
from moonmind_appliance.redaction import Redactor

# What these tell at INFO is told better by our own lines.
_QUIET = ("httpx", "httpcore", "uvicorn", "uvicorn.error", "huey", "urllib3", "docker", "asyncio", "litestar")
_FIRST_ERROR = 400
_LONGEST_MESSAGE = 16 * 1024


class RedactingFormatter(logging.Formatter):
    """Formats a record and takes known secrets out; `redactor` may be exchanged at any time."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def message(self, record: logging.LogRecord) -> str:
        """The message without secrets and of a bounded length: callers and agents fill some of it."""
        # Redact before the cut: half a secret would not be recognised.
        message = self.redactor.redact_text(record.getMessage().rstrip("\r\n"))
        if len(message) <= _LONGEST_MESSAGE:
            return message
        return f"{message[:_LONGEST_MESSAGE]} … ({len(message) - _LONGEST_MESSAGE} more characters)"

    def trace(self, record: logging.LogRecord) -> str:
        """The exception's trace without secrets, or ""."""
        return self.redactor.redact_text(self.formatException(record.exc_info)) if record.exc_info else ""


class TextFormatter(RedactingFormatter):
    """Time, level, thread, message: for people. The thread is the shard's, `codex-0`, where a run is worked on."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a trace follows, indented."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        time = f"{at:%Y-%m-%d %H:%M:%S}.{record.msecs:03.0f}"
        line = f"{time} {record.levelname:<7} {escape(str(record.threadName))}: {escape(self.message(record))}"
        trace = self.trace(record)
        return "\n    ".join([line, *(escape(part) for part in trace.split("\n"))]) if trace else line


class JsonFormatter(RedactingFormatter):
    """One JSON object a line, for collectors: time (RFC 3339, UTC), level, thread, logger, message, trace."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "thread": record.threadName,
            "logger": record.name,
            "message": self.message(record),
        }
        if trace := self.trace(record):
            entry["trace"] = trace
        return escape_json(json.dumps(entry, ensure_ascii=False, separators=(",", ":")))


def worth_telling(record: logging.LogRecord) -> bool:
    """Not: a GET that was answered. Whoever watches a run asks twice a second; /metrics counts them."""
    if record.name != "moonmind_appliance.api.app" or not isinstance(record.args, tuple):
        return True
    match record.args:
        case (("GET" | "HEAD"), _, int(status), *_):
            return status == 0 or status >= _FIRST_ERROR
        case _:
            return True


def start_log(form: str, redactor: Redactor, *, debug: bool = False) -> RedactingFormatter:
    """Write the log to stderr in that form (`text` or `json`); returns its formatter. A later call replaces it."""
    formatter: RedactingFormatter = JsonFormatter(redactor) if form == "json" else TextFormatter(redactor)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    if not debug:
        handler.addFilter(worth_telling)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.WARNING)
    return formatter


def no_log() -> None:
    """Commands speak for themselves: nothing of the log is written."""
    logging.getLogger().handlers = [logging.NullHandler()]
