"""What is read out of Codex's rollout file."""

import json
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex_turn import rollout_report


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
    """Codes and windows come from Codex's own events alone."""
    folder = tmp_path / "sessions/2026/03/01"
    folder.mkdir(parents=True)
    (folder / "rollout-x.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot json event_msg token_count\n")
    assert rollout_report(tmp_path) == {"type": "moonmind.report", **expected}, rule


def test_no_rollout(tmp_path: Path) -> None:
    """A turn that never began left none."""
    assert rollout_report(tmp_path) == {"type": "moonmind.report"}
