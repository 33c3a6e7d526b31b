"""The log: one line a record, text or JSON, every record through the redactor before it is written."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

from moonmind_appliance.redaction import Redactor

# What these tell at INFO is told better by our own lines.
_QUIET = ("httpx", "httpcore", "uvicorn", "uvicorn.error", "huey", "urllib3", "docker", "asyncio", "litestar")
_FIRST_ERROR = 400


class RedactingFormatter(logging.Formatter):
    """Formats a record and takes known secrets out; `redactor` may be exchanged at any time."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        return self.redactor.redact_text(self.shape(record))

    def shape(self, record: logging.LogRecord) -> str:
        """The record as text, secrets still in it."""
        raise NotImplementedError

    def trace(self, record: logging.LogRecord) -> str:
        """The exception's trace, or ""."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class TextFormatter(RedactingFormatter):
    """Time, level, thread, words: for people. The thread is the shard's, `codex-0`, where a run is worked on."""

    def shape(self, record: logging.LogRecord) -> str:
        """One line; a trace follows, indented."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        words = "\\n".join(record.getMessage().splitlines())
        trace = "".join(f"\n    {line}" for line in self.trace(record).splitlines())
        return f"{at:%Y-%m-%d %H:%M:%S}.{record.msecs:03.0f} {record.levelname:<7} {record.threadName}: {words}{trace}"


class JsonFormatter(RedactingFormatter):
    """One JSON object a line, for collectors: time (RFC 3339, UTC), level, thread, logger, message, trace."""

    def shape(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "thread": record.threadName,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace := self.trace(record):
            entry["trace"] = trace
        return msgspec.json.encode(entry).decode()


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
