"""The log of complete runs: it says what the stored events say."""

import logging
import re
from threading import get_ident
from typing import Any

import pytest

from moonmind_appliance.models import Event, PhaseName, RunStatus
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.store.event_line import event_line
from tests.appliance_under_test import TOKEN, ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN


def refused(process: FakeExec) -> dict[str, Any]:
    process.stderr.write(f"remote: refused for {TOKEN}".encode())
    return {"exit_code": 1}


def test_the_log_has_a_line_for_each_event(appliance: ApplianceUnderTest, caplog: pytest.LogCaptureFixture) -> None:
    """A login dies and another shard continues; the push is refused and a retry succeeds. No secret is logged."""
    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [lambda _: {"verdict": "login_dead", "message": "revoked"}]
    appliance.git_acts["push"] = [refused]
    caplog.set_level(logging.INFO, "moonmind_appliance")
    run = appliance.submit()
    appliance.work(0)
    appliance.work(1)
    assert appliance.stored(run).status is RunStatus.FAILED
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work(1)
    records = [record for record in caplog.records if record.name == "moonmind_appliance.events"]
    logged: list[Event] = [vars(record)["event"] for record in records]
    stored = appliance.store.events.after(0, limit=1000)
    assert sorted(logged, key=lambda event: event.event_id) == stored
    assert [record.getMessage() for record in records] == [event_line(event) for event in logged]
    # The clone's artifacts are saved by another thread, whose lines may come in between.
    ids = [event.event_id for event, record in zip(logged, records, strict=True) if record.thread == get_ident()]
    assert ids == sorted(ids)
    assert TOKEN not in caplog.text
    assert [line_without_time(event) for event in stored if is_step(event)] == STEPS


def line_without_time(event: Event) -> str:
    """The event's line without its run and what differs from run to run."""
    return re.sub(r"^Run [0-9a-f]{8}: | after [0-9.]+ s|(https?://|acme/|speckit/2)\S+", "", event_line(event))


def is_step(event: Event) -> bool:
    return event.kind != "run.noted" and event.kind.startswith(("run.", "phase.failed", "phase.retrying", "shard."))


STEPS = [
    "queued for ",
    "Shard 0: login present (was unknown)",
    "started on shard 0",
    "Shard 0: login dead, unauthorized (was present): The login was rejected. revoked",
    "speckit_plan stopped (attempt 1), to be repeated: login",
    "back in the queue",
    "leaves shard 0 for another one: the scripted service refuses the login of shard 0",
    "Shard 1: login present (was unknown)",
    "started on shard 1",
    "start_job_container will be repeated after attempt 1",
    "commit_push failed (attempt 1): push_rejected",
    "failed in commit_push: push_rejected. git failed to push  to  GitHub said: refused for [redacted:GITHUB_TOKEN]",
    "queued again by a retry (was failed)",
    "started on shard 1",
    "start_job_container will be repeated after attempt 2",
    "commit_push will be repeated after attempt 1",
    "cleanup will be repeated after attempt 1",
    "succeeded. Pull request  (opened as a draft).",
]
