"""`runs watch` over HTTP and on the data folder."""

import signal

import pytest

from moonmind_appliance.models import PhaseName, PhaseStatus, RunStatus
from tests.api.served import Served
from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.SUCCEEDED, 0),
        (RunStatus.NO_CHANGES, 0),
        (RunStatus.FAILED, 7),
        (RunStatus.CANCELLED, 7),
    ],
)
def test_watch_ends_with_the_runs_result(caller: Terminal, served: Served, status: RunStatus, code: int) -> None:
    """The exit code shows the outcome; with --json stdout contains only the run."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.SUCCEEDED)
    served.finish(run_id, status)
    called = caller.call("runs", "watch", run_id, "--json")
    assert called.code == code
    assert (called.json["run_id"], called.json["status"]) == (run_id, status.value)
    assert "prepare_job succeeded" in called.stderr
    assert f"The run ended: {status.value}" in caller.call("runs", "watch", run_id).stdout


@pytest.mark.parametrize(("verb", "sent"), [("watch", signal.SIGINT), ("retry", signal.SIGTERM)])
def test_a_stopped_wait_says_that_the_run_continues(
    terminal: Terminal, served: Served, verb: str, sent: signal.Signals
) -> None:
    """From the first line on. A retry shows no phase of the attempt before as new."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.SUCCEEDED)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.FAILED)
    if verb == "retry":
        served.finish(run_id, RunStatus.FAILED)
    process = terminal.start("runs", verb, run_id, *(["--wait"] if verb == "retry" else []))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    if verb == "retry":
        assert first == f"Run {run_id[:8]} is queued again; it continues at start_job_container.\n"
        assert "prepare_job" not in stdout
        assert "git_clone" not in stdout
    else:
        assert "prepare_job succeeded" in first
    continues = f"The run continues. Follow it again with: moonmind-appliance runs watch {run_id[:8]}"
    assert stderr.splitlines()[-3:] == [continues, "", "error: stopped"]
    assert process.returncode == 130
