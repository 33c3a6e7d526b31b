"""The progress of a run: only allowed transitions of its phases, its fields, and its end."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import (
    PHASE_MOVES,
    AgentInfo,
    FailureCode,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
    failure,
)
from moonmind_appliance.store import Store
from tests.store.stored import FINAL, get, kinds

MakeRun = Callable[..., Run]


class TestPhases:
    def test_round_trip(self, store: Store, claimed: Run, now: datetime) -> None:
        """A saved phase is read unchanged, in its place, with its event."""
        running = Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING, attempt=1, started_at=now)
        done = msgspec.structs.replace(
            running,
            status=PhaseStatus.SUCCEEDED,
            completed_at=now + timedelta(seconds=1),
            stdout_path="a/b",
            stderr_path="a/c",
            metadata={"commit": "abc", "n": 1, "deep": {"list": [None, True]}},
        )
        store.progress.save_phase(claimed.run_id, "mine", running)
        store.progress.save_phase(claimed.run_id, "mine", done)
        expected = [done if phase.phase == done.phase else phase for phase in claimed.phases]
        assert get(store, claimed.run_id).phases == expected
        events = store.events.after(0, run_id=claimed.run_id)[-2:]
        assert [(event.kind, event.shard, event.data) for event in events] == [
            ("phase.running", 1, {"phase": "git_clone", "status": "running", "attempt": 1}),
            ("phase.succeeded", 1, {"phase": "git_clone", "status": "succeeded", "attempt": 1, "seconds": 1.0}),
        ]

    @pytest.mark.parametrize("status", [PhaseStatus.FAILED, PhaseStatus.RETRYING])
    def test_a_phase_that_stops_has_its_seconds(
        self, store: Store, claimed: Run, now: datetime, status: PhaseStatus
    ) -> None:
        """Also one that will be repeated, which has no end; a repetition of an ended phase has none."""
        running = Phase(phase=PhaseName.GIT_CLONE, status=PhaseStatus.RUNNING, attempt=2, started_at=now)
        store.progress.save_phase(claimed.run_id, "mine", running)
        at = now + timedelta(seconds=12.5)
        stopped = msgspec.structs.replace(running, status=status)
        store.progress.save_phase(claimed.run_id, "mine", stopped, now=at, data={"failure": "clone_failed"})
        last = store.events.after(0, run_id=claimed.run_id)[-1]
        assert (last.at, last.data["seconds"], last.data["failure"]) == (at, 12.5, "clone_failed")
        if status is PhaseStatus.FAILED:
            again = msgspec.structs.replace(stopped, status=PhaseStatus.RETRYING)
            store.progress.save_phase(claimed.run_id, "mine", again)
            assert "seconds" not in store.events.after(0, run_id=claimed.run_id)[-1].data

    @pytest.mark.parametrize("current", PhaseStatus)
    @pytest.mark.parametrize("target", PhaseStatus)
    def test_moves(self, store: Store, claimed: Run, current: PhaseStatus, target: PhaseStatus) -> None:
        """The store makes only the transitions that the model allows; the same status again is none."""
        with store.database.write() as connection:
            connection.execute("UPDATE phases SET status = ? WHERE position = 0", (current.value,))
        phase = Phase(phase=PhaseName.PREPARE_JOB, status=target, attempt=7)
        if current is target or target in PHASE_MOVES[current]:
            store.progress.save_phase(claimed.run_id, "mine", phase)
            assert get(store, claimed.run_id).phases[0] == phase
            told = [] if current is target else [f"phase.{target.value}"]
            assert kinds(store, claimed.run_id)[2:] == told
        else:
            with pytest.raises(StoreError, match=f"from {current.value} to {target.value}"):
                store.progress.save_phase(claimed.run_id, "mine", phase)
            assert get(store, claimed.run_id).phases[0].status is current
            assert kinds(store, claimed.run_id)[2:] == []


class TestNote:
    def test_only_what_is_given(self, store: Store, claimed: Run) -> None:
        """Given fields are stored, others stay, and None is a value."""
        agent = AgentInfo("codex", "0.1", "1")
        store.progress.update(
            claimed.run_id, "mine", branch_name="b", clarifications=["Which?"], agent=agent, result_summary="s"
        )
        store.progress.update(claimed.run_id, "mine", pull_request_url="https://host/pull/1", result_summary=None)
        store.progress.update(claimed.run_id, "mine")
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed,
            branch_name="b",
            pull_request_url="https://host/pull/1",
            clarifications=["Which?"],
            agent=agent,
        )
        noted = [event.data for event in store.events.after(0, run_id=claimed.run_id) if event.kind == "run.noted"]
        assert noted == [
            {"fields": ["agent", "branch_name", "clarifications", "result_summary"]},
            {"fields": ["pull_request_url", "result_summary"]},
        ]


class TestEnd:
    @pytest.mark.parametrize("status", FINAL)
    def test_finish(self, store: Store, claimed: Run, now: datetime, status: RunStatus) -> None:
        """A run ends with its summary, its failure and its time, and has no claim any more."""
        why = failure(FailureCode.CLONE_FAILED, "no", retry_at=now)
        end = now + timedelta(seconds=90)
        store.progress.finish(
            claimed.run_id,
            "mine",
            status,
            now=end,
            result_summary="done",
            failure=why,
            phase=PhaseName.GIT_CLONE,
        )
        assert get(store, claimed.run_id) == msgspec.structs.replace(
            claimed, status=status, lease=None, completed_at=end, result_summary="done", failure=why
        )
        event = store.events.after(0, run_id=claimed.run_id)[-1]
        assert event.kind == f"run.{status.value}"
        assert event.data == {
            "status": status.value,
            "seconds": 90.0,
            "summary": "done",
            "failure": "clone_failed",
            "phase": "git_clone",
        }

    @pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.IN_PROGRESS])
    def test_not_an_end(self, store: Store, claimed: Run, now: datetime, status: RunStatus) -> None:
        """A run cannot end in a status that is not final."""
        with pytest.raises(StoreError):
            store.progress.finish(claimed.run_id, "mine", status, now=now, result_summary=None, failure=None)
        assert store.runs.get(claimed.run_id) == claimed
