"""Committed events are logged, one line each, in order."""

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from moonmind_appliance.cli.logs import JsonFormatter, TextFormatter
from moonmind_appliance.models import FailureCode, PhaseName, Run, RunStatus, WaitingFor, WaitReason, failure
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store
from moonmind_appliance.store.events import record

MakeRun = Callable[..., Run]
SECRET = "ghp_" + "s3cretOfATest0123456789abcdefghijklm"[:36]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "moonmind_appliance.events")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "moonmind_appliance.events"]


def test_a_rollback_logs_nothing(store: Store, lines: Callable[[], list[str]]) -> None:
    """An event that is not stored has no line, also not with the next transaction."""

    def fail() -> None:
        with store.database.write() as connection:
            record(connection, "shard.resumed", shard=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert lines() == []
    store.events.add("shard.paused", shard=1)
    assert lines() == ["Shard 1: paused: it claims no more runs"]


def test_each_run_has_a_line(store: Store, make_run: MakeRun, now: datetime, lines: Callable[[], list[str]]) -> None:
    """One statement that changes what several runs wait for logs each of them."""
    runs = [store.runs.insert(make_run()) for _ in range(3)]
    waits = WaitingFor(WaitReason.DISK, now + timedelta(minutes=1), "the disk is nearly full")
    store.queue.wait_for_machine(waits)
    store.queue.wait_for_machine(waits)
    assert sorted(lines()[3:]) == sorted(
        f"Run {run.short_id}: waits for disk space until 2026-03-01 12:01 UTC: the disk is nearly full" for run in runs
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_hostile_failure_message(
    store: Store, claimed: Run, now: datetime, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """It is one line without the secret and without control characters, at WARNING."""
    message = f"remote: {SECRET}\n2026-01-01 00:00:00 INFO codex-0: forged\r\x1b[2J\u202e"
    why = failure(FailureCode.PUSH_REJECTED, message)
    with caplog.at_level(logging.INFO):
        store.progress.finish(
            claimed.run_id,
            "mine",
            RunStatus.FAILED,
            now=now,
            result_summary=why.message,
            failure=why,
            phase=PhaseName.COMMIT_PUSH,
        )
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING
    line = (TextFormatter if form == "text" else JsonFormatter)(Redactor()).format(logged)
    assert line.isprintable()
    assert SECRET not in line
    assert "failed in commit_push" in line
    assert "[redacted:GitHub token] 2026-01-01 00:00:00 INFO codex-0: forged" in line
    if form == "json":
        stored = store.events.after(0, run_id=claimed.run_id)[-1]
        entry = json.loads(line)
        names = ("event", "run_id", "shard", "phase", "status", "code", "seconds", "data")
        assert [entry[name] for name in names] == [
            "run.failed",
            claimed.run_id,
            1,
            "commit_push",
            "failed",
            "push_rejected",
            0.0,
            stored.data,
        ]
        assert "attempt" not in entry
