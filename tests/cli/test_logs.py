"""The log's format: one line per record, with thread names, without secrets."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.cli.logs import JsonFormatter, TextFormatter, is_worth_logging
from moonmind_appliance.models import Event
from moonmind_appliance.redaction import Redactor
from tests.cli.terminal import Terminal

SECRET = "a-secret-Value-0815"
REDACTOR = Redactor({"GITHUB_TOKEN": SECRET})


def record(
    message: str, *arguments: object, name: str = "moonmind_appliance.x", trace: bool = False
) -> logging.LogRecord:
    info = None
    if trace:
        try:
            int(SECRET)
        except ValueError:
            info = sys.exc_info()
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, info)
    made.threadName = "codex-0"
    return made


def test_text_names_level_and_thread() -> None:
    """A record stays on one line: a message cannot forge a second record."""
    line = TextFormatter(REDACTOR).format(record("run %s\n2026-01-01 fake", "r1"))
    assert line.endswith("WARNING codex-0: run r1\\n2026-01-01 fake")
    assert "\n" not in line


@pytest.mark.parametrize("formatter", [TextFormatter(REDACTOR), JsonFormatter(REDACTOR)])
def test_secrets_are_out_of_messages_and_traces(formatter: logging.Formatter) -> None:
    """Both formats are redacted."""
    written = formatter.format(record("token %s", SECRET, trace=True))
    assert SECRET not in written
    assert "[redacted:GITHUB_TOKEN]" in written
    assert "ValueError" in written


STEERING = "\x1b]0;t\x07 \x1b[2J \x9b2J \u202e \u2028 \u200b \U000e0041 \x00 \r"


@pytest.mark.parametrize("formatter", [TextFormatter(REDACTOR), JsonFormatter(REDACTOR)])
@pytest.mark.parametrize("character", [c for c in STEERING if not c.isprintable()])
def test_no_record_controls_a_terminal_or_hides_text(formatter: logging.Formatter, character: str) -> None:
    """An agent's message, a caller's branch name, a thread's name, an exception's text: all are escaped."""
    made = record("run %s", f"a{character}b")
    made.threadName = f"codex{character}"
    made.exc_info = (ValueError, ValueError(f"x{character}y"), None)
    assert all(line.isprintable() for line in formatter.format(made).split("\n"))


def test_json_escapes_without_changing_the_message() -> None:
    """A collector gets the original message."""
    line = JsonFormatter(REDACTOR).format(record("a %s b", STEERING))
    assert line.isprintable()
    assert json.loads(line)["message"] == f"a {STEERING} b"


def test_half_a_surrogate_pair_does_not_cost_the_record() -> None:
    """A character that UTF-8 cannot encode is written as a question mark."""
    assert "branch b?" in TextFormatter(REDACTOR).format(record("branch %s", "b\ud800"))
    assert json.loads(JsonFormatter(REDACTOR).format(record("branch %s", "b\ud800")))["message"] == "branch b?"


def test_a_record_has_a_bounded_length() -> None:
    """The cut characters are counted; a secret at the cut is redacted first."""
    long = "x" * (16 * 1024 - 5) + SECRET + "y" * 100_000
    for formatter in (TextFormatter(REDACTOR), JsonFormatter(REDACTOR)):
        line = formatter.format(record("%s", long))
        assert len(line) < 17 * 1024
        assert "more characters)" in line
        assert SECRET[:6] not in line


def test_json_is_one_object_a_line() -> None:
    """The names of the fields are those that collectors use."""
    line = JsonFormatter(REDACTOR).format(record("two\nlines"))
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["thread"], entry["message"]) == ("warning", "codex-0", "two\nlines")
    assert entry["time"].endswith("Z")


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [("GET", 200, False), ("HEAD", 206, False), ("GET", 404, True), ("GET", 0, True), ("POST", 202, True)],
)
def test_successful_reads_are_not_logged(method: str, status: int, *, expected: bool) -> None:
    """Requests that change something or fail are logged."""
    told = record(
        "%s %s %d in %.1f ms, request %s", method, "/runs", status, 1.0, "id", name="moonmind_appliance.api.app"
    )
    assert is_worth_logging(told) is expected


def test_other_records_stay() -> None:
    """Records with other arguments are logged, also if they look like a read."""
    assert is_worth_logging(record("GET %s", "x"))


def test_commands_print_no_events(tmp_path: Path) -> None:
    """A command that changes something prints its own messages; with --debug also the log."""
    terminal = Terminal(tmp_path)
    assert "created" not in terminal.run("token", "create", "--name", "me").stderr
    assert "Token me revoked" in terminal.run("token", "revoke", "me", "--debug").stderr


def test_an_event_has_its_fields_in_json() -> None:
    """Only those that it has; data that is longer than a message may be is left out."""
    data = {"phase": "git_clone", "status": "failed", "attempt": 2, "seconds": 1.5, "failure": "clone_failed"}
    event = Event(event_id=1, kind="phase.failed", at=datetime(2026, 3, 1, tzinfo=UTC), run_id="r-1", data=data)
    made = record("text")
    made.event = event
    entry = json.loads(JsonFormatter(REDACTOR).format(made))
    assert list(entry)[:5] == ["time", "level", "thread", "logger", "message"]
    assert {name: entry[name] for name in list(entry)[5:]} == {
        "event": "phase.failed",
        "run_id": "r-1",
        "phase": "git_clone",
        "status": "failed",
        "attempt": 2,
        "seconds": 1.5,
        "code": "clone_failed",
        "data": data,
    }
    made.event = msgspec.structs.replace(event, data={**data, "summary": "x" * 20_000})
    long = json.loads(JsonFormatter(REDACTOR).format(made))
    assert (long["code"], "data" in long) == ("clone_failed", False)
