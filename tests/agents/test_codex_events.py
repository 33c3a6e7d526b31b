"""Codex's events as text: what each kind shows, and what is omitted."""

import json

import pytest

from moonmind_appliance.agents.codex_events import EventLine, LineKind, bare_command, event_lines


def completed(**item):
    return json.dumps({"type": "item.completed", "item": {"id": "item_1", **item}})


def texts(line, **options):
    return [entry.text for entry in event_lines(line, **options)]


def test_a_command_is_shown_with_its_exit_code_and_output():
    """Without the shell that Codex puts around it."""
    line = completed(
        type="command_execution", command="/bin/bash -lc 'ls specs'", exit_code=0, aggregated_output="001-a\n002-b\n"
    )
    assert event_lines(line) == [
        EventLine(LineKind.COMMAND, "$ ls specs  → 0"),
        EventLine(LineKind.OUTPUT, "001-a"),
        EventLine(LineKind.OUTPUT, "002-b"),
    ]


def test_long_output_is_cut():
    """With a mark that shows it."""
    line = completed(type="command_execution", command="cat big", exit_code=1, aggregated_output="x" * 50)
    assert texts(line, output_limit=10) == ["$ cat big  → 1", "x" * 10 + " …"]


def test_a_script_of_several_lines_keeps_its_lines():
    """The exit code comes after the last one."""
    line = completed(type="command_execution", command="bash -lc 'cd a\nls'", exit_code=None, aggregated_output="")
    assert texts(line) == ["$ cd a", "  ls  → ?"]


@pytest.mark.parametrize(
    ("item", "kind", "shown"),
    [
        ({"type": "agent_message", "text": "Done.\nBye."}, LineKind.MESSAGE, ["Done.", "Bye."]),
        ({"type": "reasoning", "text": "Think"}, LineKind.REASONING, ["Think"]),
        (
            {
                "type": "file_change",
                "changes": [{"kind": "add", "path": "a.md"}, {"kind": "update", "path": "/work/runs/0f3a/repo/b.md"}],
            },
            LineKind.FILES,
            ["file add: a.md", "file update: b.md"],
        ),
        ({"type": "file_change", "changes": "odd"}, LineKind.FILES, ["no file changed"]),
        (
            {"type": "todo_list", "items": [{"text": "one", "completed": True}, {"text": "two"}]},
            LineKind.PLAN,
            ["[x] one", "[ ] two"],
        ),
        ({"type": "error", "message": "bad"}, LineKind.ERROR, ["! bad"]),
        ({"type": "new_in_a_later_codex"}, LineKind.OTHER, ["(new_in_a_later_codex)"]),
    ],
)
def test_each_kind_of_item(item, kind, shown):
    """An item of an unknown kind is named."""
    assert event_lines(completed(**item)) == [EventLine(kind, text) for text in shown]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"type": "turn.failed", "error": {"message": "usage limit"}}, ["! usage limit"]),
        ({"type": "error", "message": "Reconnecting... 1/5"}, ["! Reconnecting... 1/5"]),
        (
            {"type": "turn.completed", "usage": {"input_tokens": 900, "cached_input_tokens": 600, "output_tokens": 40}},
            ["turn completed: 900 tokens in (600 cached), 40 out"],
        ),
        ({"type": "turn.completed", "usage": {}}, ["turn completed: ? tokens in, ? out"]),
        ({"type": "thread.started", "thread_id": "t"}, []),
        ({"type": "item.started", "item": {"type": "command_execution", "command": "ls"}}, []),
    ],
)
def test_each_kind_of_event(event, shown):
    """Events without information for people are omitted."""
    assert texts(json.dumps(event)) == shown


@pytest.mark.parametrize("line", ["plain words", "", "[1, 2]", "{broken", '"text"', "{" * 5000])
def test_a_line_that_is_not_an_event_is_unchanged(line):
    """Also if it looks like one."""
    assert event_lines(line) == [EventLine(LineKind.TEXT, line)]


@pytest.mark.parametrize(
    ("command", "bare"),
    [
        ("bash -lc 'echo \"it is\"'", 'echo "it is"'),
        ("/usr/bin/zsh -lc ls", "ls"),
        ("sh -c ls extra", "sh -c ls extra"),
        ("python -c pass", "python -c pass"),
        ("bash -lc 'unclosed", "bash -lc 'unclosed"),
    ],
)
def test_only_the_shell_around_a_command_is_removed(command, bare):
    """Other commands are unchanged."""
    assert bare_command(command) == bare
