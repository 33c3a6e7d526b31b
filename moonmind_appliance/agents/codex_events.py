"""Converts Codex's JSONL events to readable lines. Pure; the event names are those of Codex CLI 0.169.0.

The texts come from a model and from commands that it ran: clean them before printing them to a terminal.
"""

import re
import shlex
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from moonmind_appliance.models.container_paths import WORKSPACES
from moonmind_appliance.untrusted_json import decode

# Characters of a command's output that are shown outside the raw log.
OUTPUT_LIMIT = 800

# A path in a run's workspace is shown relative to the repository.
_IN_WORKSPACE = re.compile(rf"^{re.escape(WORKSPACES)}/[^/]+/repo/")
_SHELLS = frozenset({"sh", "bash", "zsh"})
_LONGEST_PARSED_COMMAND = 20_000
_WRAPPED_ARGC = 3
_LIMIT_OF_A_LINE = 4 * 1024 * 1024


class LineKind(StrEnum):
    """What a line contains; `TEXT` is a log line that is not an event."""

    MESSAGE = "message"
    REASONING = "reasoning"
    COMMAND = "command"
    OUTPUT = "output"
    FILES = "files"
    PLAN = "plan"
    USAGE = "usage"
    ERROR = "error"
    OTHER = "other"
    TEXT = "text"


class EventLine(NamedTuple):
    """One readable line, without line breaks."""

    kind: LineKind
    text: str


def event_lines(line: str, *, output_limit: int = OUTPUT_LIMIT) -> list[EventLine]:
    """Convert one line of the log to readable lines; none for an event without information.

    Args:
        line: a whole line of Codex's standard output; a line that is not an event is returned unchanged.
        output_limit: characters of a command's output to show.
    """
    event = _event(line)
    if event is None:
        return [EventLine(LineKind.TEXT, line)]
    kind, item = event.get("type"), event.get("item")
    if kind == "item.completed" and isinstance(item, dict):
        return _item(item, output_limit)
    if kind in {"error", "turn.failed"}:
        error = event.get("error")
        message = event.get("message") or (error.get("message") if isinstance(error, dict) else error)
        return _lines(LineKind.ERROR, f"! {message}")
    if kind == "turn.completed" and isinstance(event.get("usage"), dict):
        return [EventLine(LineKind.USAGE, _usage(event["usage"]))]
    return []


def _event(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{") or len(line) > _LIMIT_OF_A_LINE:
        return None
    try:
        event = decode(line.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return event if isinstance(event, dict) else None


def _usage(usage: dict[str, Any]) -> str:
    read, written, cached = (usage.get(f"{name}_tokens") for name in ("input", "output", "cached_input"))
    kept = f" ({cached} cached)" if cached else ""
    return f"turn completed: {_count(read)} tokens in{kept}, {_count(written)} out"


def _count(tokens: object) -> str:
    return str(tokens) if isinstance(tokens, int) else "?"


def _item(item: dict[str, Any], output_limit: int) -> list[EventLine]:
    kind = item.get("type")
    if kind == "command_execution":
        return _command(item, output_limit)
    if kind == "file_change":
        changes = [
            f"file {change.get('kind', 'change')}: {_IN_WORKSPACE.sub('', str(change.get('path', '?')))}"
            for change in _entries(item, "changes")
        ]
        return [EventLine(LineKind.FILES, text) for text in changes or ["no file changed"]]
    if kind == "todo_list":
        return [
            EventLine(LineKind.PLAN, f"[{'x' if entry.get('completed') else ' '}] {entry.get('text', '')}")
            for entry in _entries(item, "items")
        ]
    shown, text = {
        "agent_message": (LineKind.MESSAGE, f"{item.get('text', '')}"),
        "reasoning": (LineKind.REASONING, f"{item.get('text', '')}"),
        "web_search": (LineKind.OTHER, f"web search: {item.get('query', '?')}"),
        "mcp_tool_call": (LineKind.OTHER, f"tool {item.get('server', '?')}/{item.get('tool', '?')}"),
        "error": (LineKind.ERROR, f"! {item.get('message', '')}"),
    }.get(str(kind), (LineKind.OTHER, f"({kind})"))
    return _lines(shown, text)


def _command(item: dict[str, Any], output_limit: int) -> list[EventLine]:
    head, *more = bare_command(str(item.get("command", ""))).split("\n")
    code = item.get("exit_code")
    lines = [EventLine(LineKind.COMMAND, f"$ {head}")]
    lines += [EventLine(LineKind.COMMAND, f"  {text}") for text in more]
    lines[-1] = EventLine(LineKind.COMMAND, f"{lines[-1].text}  → {'?' if code is None else code}")
    output = str(item.get("aggregated_output", "")).rstrip()
    if output:
        cut = " …" if len(output) > output_limit else ""
        lines += _lines(LineKind.OUTPUT, output[:output_limit] + cut)
    return lines


def bare_command(command: str) -> str:
    """The script if the command is `bash -lc SCRIPT`, the form in which Codex runs every command."""
    if len(command) > _LONGEST_PARSED_COMMAND:
        return command
    try:
        argv = shlex.split(command)
    except ValueError:
        return command
    if len(argv) == _WRAPPED_ARGC and argv[0].rpartition("/")[2] in _SHELLS and argv[1] in {"-c", "-lc"}:
        return argv[2]
    return command


def _entries(item: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = item.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _lines(kind: LineKind, text: str) -> list[EventLine]:
    return [EventLine(kind, line) for line in text.replace("\r\n", "\n").rstrip("\n").split("\n")]
