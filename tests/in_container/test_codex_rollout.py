"""What is read out of Codex's rollout file."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.codex_rollout import LONGEST_ROLLOUT_LINE, rollout_report


def event(**payload: Any) -> dict[str, Any]:
    return {"type": "event_msg", "payload": payload}


LIMITS = {"primary": {"used_percent": 100.0}}
TOLD = event(type="token_count", info=None, rate_limits=LIMITS)
ITEM = {"type": "response_item", "payload": {"type": "message"}}
ERROR = event(type="task_complete", error={"message": "m", "codex_error_info": "usage_limit_exceeded"})


@pytest.mark.parametrize(
    ("rule", "lines", "expected"),
    [
        ("the windows of a turn that worked", [ITEM, TOLD], {"rate_limits": LIMITS, "limit_told": True}),
        (
            "a limit told with its error",
            [ITEM, TOLD, ERROR],
            {"rate_limits": LIMITS, "limit_told": True, "codex_error_info": "usage_limit_exceeded"},
        ),
        (
            "windows of an earlier answer do not belong to the error",
            [TOLD, ITEM, ERROR],
            {"rate_limits": LIMITS, "codex_error_info": "usage_limit_exceeded"},
        ),
        (
            "what the agent printed is no event",
            [{"type": "response_item", "payload": {"codex_error_info": "unauthorized", "rate_limits": {"x": 1}}}],
            {},
        ),
        ("an event of another shape", [event(type="token_count", rate_limits=None), "x", 3], {}),
    ],
)
def test_the_rollout(tmp_path: Path, rule: str, lines: list[Any], expected: dict[str, Any]) -> None:
    """Codes and windows come only from Codex's own events."""
    folder = tmp_path / "sessions/2026/03/01"
    folder.mkdir(parents=True)
    (folder / "rollout-x.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot json event_msg token_count\n")
    assert rollout_report(tmp_path, time.time()) == expected, rule


def test_no_rollout(tmp_path: Path) -> None:
    """A turn that never started has none."""
    assert rollout_report(tmp_path, time.time()) == {}


def rollout(home: Path, content: bytes) -> Path:
    path = home / "sessions/2030/01/01/rollout-zz.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def line(entry: Any) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def replaced_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("a link to a file elsewhere", replaced_by(lambda path: path.symlink_to("/etc/passwd"))),
        ("a pipe that nobody writes to", replaced_by(os.mkfifo)),
        ("a folder", replaced_by(Path.mkdir)),
        ("a name of another form", lambda path: path.rename(path.with_name("zz.jsonl"))),
        ("a folder of another form", lambda path: path.parent.rename(path.parents[1] / "..x")),
    ],
)
def test_an_invalid_rollout(tmp_path: Path, rule: str, change: Callable[[Path], object]) -> None:
    """It is not followed, and not waited for."""
    change(rollout(tmp_path, line(TOLD) + line(ERROR)))
    assert rollout_report(tmp_path, time.time()) == {}, rule


def test_a_rollout_of_an_earlier_turn_is_not_read(tmp_path: Path) -> None:
    """With any modification time: unlike that, the change time cannot be set."""
    path = rollout(tmp_path, line(TOLD) + line(ERROR))
    os.utime(path, (4_000_000_000, 4_000_000_000))
    assert rollout_report(tmp_path, time.time() + 60) == {}
    assert "codex_error_info" in rollout_report(tmp_path, time.time())


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("deep", b'{"type":"event_msg","payload":{"type":"token_count","rate_limits":' + b"[" * 50_000),
        ("binary", b'\xff\xfe "event_msg" "token_count"'),
        (
            "a line without an end",
            b'{"type":"event_msg","payload":{"codex_error_info":"' + b"x" * LONGEST_ROLLOUT_LINE * 3,
        ),
        ("half a line", line(ERROR)[:-20]),
        ("a number of many digits", b'{"type":"event_msg","payload":{"codex_error_info":' + b"9" * 10_000 + b"}}"),
        ("a payload of another type", b'{"type":"event_msg","payload":["token_count"]}'),
    ],
)
def test_an_unreadable_line_does_not_affect_others(tmp_path: Path, rule: str, content: bytes) -> None:
    """Codex's own lines before and after it are read."""
    rollout(tmp_path, line(TOLD) + content + b"\n" + line(ERROR))
    report = rollout_report(tmp_path, time.time())
    assert (report["codex_error_info"], report["rate_limits"]) == ("usage_limit_exceeded", LIMITS), rule


def test_values_are_cut_to_what_codex_writes(tmp_path: Path) -> None:
    """Deep, long and endless values are cut, and the result is JSON."""
    deep: Any = {"a": {"b": {"c": {"d": 1}}}}
    limits = {"primary": {"used_percent": float("nan"), "name": "x" * 10_000, "list": [1] * 1000}, **deep}
    rollout(tmp_path, line(event(type="token_count", rate_limits=limits)))
    report = rollout_report(tmp_path, time.time())
    assert report["rate_limits"] == {
        "primary": {"used_percent": None, "name": "x" * 256, "list": None},
        "a": {"b": {"c": {}}},
    }
    assert len(json.dumps(report, allow_nan=False)) < 1000
