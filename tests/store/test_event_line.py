"""Each event as one line of plain English."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import moonmind_appliance
from moonmind_appliance.models import FINAL_RUN_STATUSES, Event, LoginState, PhaseStatus, WaitReason
from moonmind_appliance.store.event_line import KINDS, event_line

RUN = "10f37e97-6b37-4233-ab7c-d172c97f85dc"
PACKAGE = Path(moonmind_appliance.__file__).parent
KIND = re.compile(r"(retention|run|phase|artifacts?|shard|token|backup|webhook|drain)\.[a-z_]*[a-z]")
# The kinds that the code builds from a status or a state.
BUILT = {
    "run.": FINAL_RUN_STATUSES,
    "phase.": set(PhaseStatus) - {PhaseStatus.PENDING},
    "shard.login_": set(LoginState),
}


def event(kind: str, data: dict[str, Any], *, run_id: str | None = RUN, shard: int | None = None) -> Event:
    return Event(event_id=1, kind=kind, at=datetime(2026, 3, 1, tzinfo=UTC), run_id=run_id, shard=shard, data=data)


RUN_LINES = [
    ("run.removed", {"removed": "5b0c6a5e"}, "run 5b0c6a5e removed by the operator"),
    ("run.specification_removed", {}, "specification text removed after TEXT_RETENTION"),
    ("run.queued", {"status": "queued", "repository": "acme/shop"}, "queued for acme/shop"),
    (
        "run.waiting",
        {"waiting_for": {"reason": "quota", "until": "2026-03-01T14:03:20Z", "detail": "shard 0 is used up"}},
        "waits for quota until 2026-03-01 14:03 UTC: shard 0 is used up",
    ),
    ("run.waiting", {"waiting_for": {"reason": "engine", "until": None, "detail": ""}}, "waits for the Docker engine"),
    (
        "run.waiting",
        {"waiting_for": {"reason": "github", "until": "2026-03-01T14:03:20Z", "detail": "GitHub refused it."}},
        "waits for GitHub until 2026-03-01 14:03 UTC: GitHub refused it.",
    ),
    (
        "run.git_retried",
        {"phase": "commit_push", "attempt": 1, "pause": 0.5, "why": "git failed to push. Its output: error: 502"},
        "commit_push repeats git's call in 0.5 s (attempt 1): git failed to push. Its output: error: 502",
    ),
    (
        "phase.retrying",
        {"phase": "open_pr", "attempt": 1, "seconds": 2.0, "reason": "github", "failure": "github_unreachable"},
        "open_pr stopped after 2.0 s (attempt 1), to be repeated: github_unreachable",
    ),
    ("run.ready", {"waiting_for": None}, "waits only for its turn"),
    ("run.requeued", {"interruptions": 0}, "back in the queue"),
    ("run.requeued", {"interruptions": 2}, "back in the queue; interruptions without progress: 2"),
    ("run.workspace_lost", {"again": ["git_clone"]}, "its volumes no longer exist; repeats git_clone"),
    ("run.noted", {"fields": ["agent", "branch_name"]}, "saved agent, branch_name"),
    ("run.cancel_requested", {}, "cancel requested"),
    ("run.retried", {"was": "failed"}, "queued again by a retry (was failed)"),
    (
        "run.succeeded",
        {"seconds": 734.0, "summary": "Pull request http://g/1 (draft)."},
        "succeeded after 12 m 14 s. Pull request http://g/1 (draft).",
    ),
    ("run.no_changes", {"seconds": 3.25}, "ended without changes after 3.2 s"),
    (
        "run.failed",
        {"phase": "open_pr", "seconds": 61, "failure": "pull_request_refused", "summary": "GitHub refused it."},
        "failed in open_pr after 1 m 01 s: pull_request_refused. GitHub refused it.",
    ),
    ("run.cancelled", {"status": "cancelled"}, "cancelled"),
    ("phase.running", {"phase": "git_clone", "attempt": 1}, "git_clone started (attempt 1)"),
    (
        "phase.succeeded",
        {"phase": "speckit_plan", "attempt": 2, "seconds": 12.3},
        "speckit_plan succeeded after 12 s (attempt 2)",
    ),
    (
        "phase.failed",
        {"phase": "commit_push", "attempt": 1, "seconds": 3.1, "failure": "push_rejected"},
        "commit_push failed after 3.1 s (attempt 1): push_rejected",
    ),
    ("phase.skipped", {"phase": "open_pr", "attempt": 0, "reason": "dry run"}, "open_pr skipped: dry run"),
    (
        "phase.retrying",
        {"phase": "speckit_plan", "attempt": 1, "seconds": 4, "reason": "quota"},
        "speckit_plan stopped after 4.0 s (attempt 1), to be repeated: quota",
    ),
    ("phase.retrying", {"phase": "git_clone", "attempt": 1}, "git_clone will be repeated after attempt 1"),
    (
        "phase.retrying",
        {"phase": "git_clone", "attempt": 1, "reason": "interrupted"},
        "git_clone will be repeated after attempt 1: interrupted",
    ),
    ("artifact.saved", {"name": "metrics.json", "size_bytes": 2048}, "artifact metrics.json saved (2.0 KiB)"),
    ("artifacts.removed", {"count": 14}, "14 artifacts removed"),
]

SHARD_LINES = [
    ("shard.login_present", {"fault": None, "why": "", "was": "unknown"}, "login present (was unknown)"),
    (
        "shard.login_dead",
        {"fault": "refresh_refused", "why": "Token revoked.", "was": "present"},
        "login dead, refresh_refused (was present): Token revoked.",
    ),
    ("shard.signed_in", {"way": "device"}, "signed in (device)"),
    ("shard.signed_out", {}, "signed out"),
    ("shard.paused", {}, "paused: it claims no more runs"),
    ("shard.resumed", {"paused_at": "2026-03-01T14:00:00Z"}, "resumed"),
    ("shard.refreshed", {"at": "2026-03-01T14:00:00Z"}, "login renewed at 2026-03-01 14:00 UTC"),
    ("shard.refresh_failed", {"why": "no response"}, "login not renewed: no response"),
    ("shard.admitted_again", {"why": "one more try"}, "its account may be used again: one more try"),
    (
        "shard.rests",
        {"until": "2026-03-01T14:03:00Z", "resets_at": None, "windows": []},
        "cooldown until 2026-03-01 14:03 UTC: the usage limit is reached",
    ),
    ("shard.rested", {}, "cooldown over"),
    ("shard.rested", {"why": "no window is used up"}, "cooldown over: no window is used up"),
    ("shard.left_to_others", {"to": 1, "windows": []}, "left a run to shard 1, which has more quota left"),
    ("shard.state_unreadable", {"why": "Shard 0: bad row."}, "checks its login again, because Shard 0: bad row."),
]


ABOUT_RUN = {"type": "run.failed", "run_id": RUN, "message_id": "msg_1", "attempt": 2}
WEBHOOK_LINES = [
    (
        "webhook.delivered",
        ABOUT_RUN | {"http_status": 204, "seconds": 0.12},
        "run.failed of run 10f37e97 delivered with status 204 after 0.1 s (attempt 2)",
    ),
    (
        "webhook.failed",
        {"type": "shard.login_dead", "shard": 0, "attempt": 1, "problem": "status 500", "next": "2026-03-01T14:03:20Z"},
        "shard.login_dead of shard 0 not delivered, next attempt at 2026-03-01 14:03 UTC (attempt 1): status 500",
    ),
    (
        "webhook.given_up",
        ABOUT_RUN | {"attempt": 8, "problem": "no response within 15 s"},
        "run.failed of run 10f37e97 given up (attempt 8): no response within 15 s",
    ),
    (
        "webhook.disabled",
        ABOUT_RUN | {"attempt": 1, "problem": "status 410"},
        "run.failed of run 10f37e97 refused; no more messages are sent until the restart (attempt 1): status 410",
    ),
]


@pytest.mark.parametrize(("kind", "data", "expected"), WEBHOOK_LINES)
def test_webhook(kind: str, data: dict[str, Any], expected: str) -> None:
    """The events of the webhook belong to no run: their data say what the message is about."""
    assert event_line(event(kind, data, run_id=None)) == f"Webhook message {expected}"


@pytest.mark.parametrize(("kind", "data", "expected"), RUN_LINES)
def test_run(kind: str, data: dict[str, Any], expected: str) -> None:
    """A run's events begin with the first characters of its id."""
    assert event_line(event(kind, data)) == f"Run 10f37e97: {expected}"


@pytest.mark.parametrize(("kind", "data", "expected"), SHARD_LINES)
def test_shard(kind: str, data: dict[str, Any], expected: str) -> None:
    """A shard's events begin with its number."""
    assert event_line(event(kind, data, run_id=None, shard=1)) == f"Shard 1: {expected}"


def test_events_with_the_shard_of_the_run() -> None:
    """A run's line names the shard where it matters."""
    assert event_line(event("run.claimed", {}, shard=2)) == "Run 10f37e97: started on shard 2"
    moved = event("run.goes_on_elsewhere", {"reason": "login", "why": "login dead"}, shard=2)
    assert event_line(moved) == "Run 10f37e97: leaves shard 2 for another one: login dead"


def test_drain() -> None:
    """A drain is of no run and no shard."""
    assert event_line(event("drain.began", {}, run_id=None)) == "Drained: no run starts until the appliance is resumed"
    assert event_line(event("drain.ended", {"drained_at": "x"}, run_id=None)) == "Resumed: runs start again"


@pytest.mark.parametrize("verb", ["created", "revoked"])
def test_token(verb: str) -> None:
    """A token's events are about no run and no shard."""
    assert event_line(event(f"token.{verb}", {"name": "me"}, run_id=None)) == f"Token me {verb}"


def test_restored() -> None:
    """The event of a restore is about the whole data folder."""
    restored = event("backup.restored", {"backup_of": "2026-03-01T14:03:00Z", "artifacts_removed": 0}, run_id=None)
    assert event_line(restored) == "Backup of 2026-03-01 14:03 UTC restored"


@pytest.mark.parametrize("reason", WaitReason)
def test_each_wait_reason_has_its_own_text(reason: WaitReason) -> None:
    """A reason without a text would be shown as data."""
    line = event_line(event("run.waiting", {"waiting_for": {"reason": reason.value}}))
    assert line.startswith("Run 10f37e97: waits for ")


@pytest.mark.parametrize(
    "data", [{}, {"phase": "x", "why": 3}, {"seconds": "soon", "waiting_for": 7, "until": "never"}]
)
@pytest.mark.parametrize("kind", ["some.later_kind", *sorted(KINDS)])
def test_a_line_whatever_the_event_contains(kind: str, data: dict[str, Any]) -> None:
    """An unknown kind, and data of another version, still give one line that names the run."""
    line = event_line(event(kind, data))
    assert line.startswith(("Run 10f37e97: ", "Token "))
    if kind == "some.later_kind":
        assert all(str(value) in line for value in (kind, *data, *data.values()))


def test_line_feeds_in_data() -> None:
    """White space becomes one space."""
    lines = event_line(event("run.failed", {"failure": "push_rejected", "summary": "remote:\r\n\tno\u2028way"}))
    assert lines == "Run 10f37e97: failed: push_rejected. remote: no way"


def recorded_kinds() -> Iterator[str]:
    """The kinds in the code: text constants of that form, and the kinds that are built from a prefix and a status."""
    for path in PACKAGE.rglob("*.py"):
        if path.name == "event_line.py" or "rehearsal" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Constant(value=str(text)) if KIND.fullmatch(text):
                    yield text
                case ast.JoinedStr(values=[ast.Constant(value=str(prefix)), ast.FormattedValue()]):
                    yield from (f"{prefix}{state.value}" for state in BUILT.get(prefix, ()))


def test_every_kind_that_the_code_records_has_a_line() -> None:
    """And no line is for a kind that nothing records."""
    assert set(recorded_kinds()) == KINDS
    shown = {kind for kind, _, _ in RUN_LINES + SHARD_LINES + WEBHOOK_LINES}
    built = {f"shard.login_{state.value}" for state in LoginState}
    others = {
        "backup.made",
        "retention.pruned",
        "run.claimed",
        "run.goes_on_elsewhere",
        "token.created",
        "token.revoked",
        "backup.restored",
    }
    assert shown | built | others | {"drain.began", "drain.ended"} == KINDS
