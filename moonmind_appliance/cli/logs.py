"""The log: one line per record, text or JSON, redacted before it is written.

Messages and traces contain text of callers, agents and repositories. Control characters, invisible characters and
those that change the reading order are escaped.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from moonmind_appliance.models import Event
from moonmind_appliance.printable import escape, escape_json
from moonmind_appliance.redaction import Redactor

# The appliance's own lines report what these log at INFO.
_QUIET = ("httpx", "httpcore", "uvicorn", "uvicorn.error", "huey", "urllib3", "docker", "asyncio", "litestar")
_FIRST_ERROR = 400
_LONGEST_MESSAGE = 16 * 1024


class RedactingFormatter(logging.Formatter):
    """Formats a record and redacts known secrets; `redactor` may be replaced at any time."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def message(self, record: logging.LogRecord) -> str:
        """The message without secrets, cut to a limit: some of it comes from callers and agents."""
        # Redact before the cut: a secret that was cut would not be recognised.
        message = self.redactor.redact_text(record.getMessage().rstrip("\r\n"))
        if len(message) <= _LONGEST_MESSAGE:
            return message
        return f"{message[:_LONGEST_MESSAGE]} … ({len(message) - _LONGEST_MESSAGE} more characters)"

    def trace(self, record: logging.LogRecord) -> str:
        """The exception's trace without secrets, or ""."""
        return self.redactor.redact_text(self.formatException(record.exc_info)) if record.exc_info else ""


class TextFormatter(RedactingFormatter):
    """Time, level, thread, message: for people. The thread of a run has the shard's name, such as `codex-0`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a trace follows, indented."""
        time = f"{_second(int(record.created))}.{record.msecs:03.0f}"
        line = f"{time} {record.levelname:<7} {escape(str(record.threadName))}: {escape(self.message(record))}"
        trace = self.trace(record)
        return "\n    ".join([line, *(escape(part) for part in trace.split("\n"))]) if trace else line


@lru_cache(maxsize=1)
def _second(at: int) -> str:
    """Local time. Kept for the lines of the same second."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


class JsonFormatter(RedactingFormatter):
    """One JSON object per line, for collectors: time (RFC 3339, UTC), level, thread, logger, message, trace.

    The line of an event has the event's fields, too; see `event_fields`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "thread": record.threadName,
            "logger": record.name,
            "message": self.message(record),
        }
        if isinstance(event := getattr(record, "event", None), Event):
            entry |= event_fields(event)
        if trace := self.trace(record):
            entry["trace"] = trace
        return escape_json(json.dumps(entry, ensure_ascii=False, separators=(",", ":")))


def event_fields(event: Event) -> dict[str, Any]:
    """What the JSON log has for an event, each if the event has it; `code` is the failure code.

    `data` is what is stored, already without secrets; it is left out if it is longer than a message may be.
    """
    fields = {"event": event.kind, "run_id": event.run_id, "shard": event.shard, "code": event.data.get("failure")}
    fields |= {name: event.data.get(name) for name in ("phase", "status", "attempt", "seconds")}
    if len(json.dumps(event.data)) <= _LONGEST_MESSAGE:
        fields["data"] = event.data
    return {name: value for name, value in fields.items() if value is not None}


def is_worth_logging(record: logging.LogRecord) -> bool:
    """False for a GET that was answered: clients that follow a run send two per second, and /metrics counts them."""
    if record.name != "moonmind_appliance.api.app" or not isinstance(record.args, tuple):
        return True
    match record.args:
        case (("GET" | "HEAD"), _, int(status), *_):
            return status == 0 or status >= _FIRST_ERROR
        case _:
            return True


def start_log(form: str, redactor: Redactor, *, debug: bool = False) -> RedactingFormatter:
    """Write the log to stderr in that form (`text` or `json`); returns its formatter. A later call replaces it."""
    _collect_only_what_is_shown()
    formatter: RedactingFormatter = JsonFormatter(redactor) if form == "json" else TextFormatter(redactor)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    if not debug:
        handler.addFilter(is_worth_logging)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.WARNING)
    return formatter


def _collect_only_what_is_shown() -> None:
    """Collect neither a record's place in the source nor its process: that takes half of the time of a record.

    https://docs.python.org/3/howto/logging.html#optimization
    """
    logging._srcfile = None  # noqa: SLF001 - the documented way
    logging.logProcesses = False
    logging.logMultiprocessing = False
