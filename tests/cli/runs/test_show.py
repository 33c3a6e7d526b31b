"""`runs show` over HTTP and on the data folder."""

from datetime import UTC, datetime

from moonmind_appliance.models import FailureCode, PhaseName, PhaseStatus, RunStatus, failure
from tests.api.served import LEASE, Served
from tests.cli.terminal import Terminal


def test_a_run_is_named_by_its_beginning_or_as_latest(caller: Terminal, served: Served) -> None:
    """A name that is too short, unknown or ambiguous is reported."""
    first, latest = served.submit(), served.submit()
    assert caller.call("runs", "show", "latest", "--json").json["run_id"] == latest
    assert caller.call("runs", "show", first[:13], "--json").json["run_id"] == first
    assert caller.call("runs", "show", first.upper(), "--json").json["run_id"] == first
    assert caller.call("runs", "show", first[:3]).code == 2
    assert caller.call("runs", "show", "not-an-id").code == 2
    nobodys = "00000000-0000-4000-8000-000000000000"
    assert caller.call("runs", "show", nobodys[:9]).code == 6
    assert caller.call("runs", "show", nobodys).code == 6


def test_show_has_all_details(caller: Terminal, served: Served) -> None:
    """It shows phases, failure, who acts, next step, how to retry; texts of others without escape sequences."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.FAILED, completed_at=datetime.now(UTC))
    why = failure(FailureCode.REPOSITORY_NOT_FOUND, "GitHub said \x1b[2Jno.")
    served.store.progress.finish(
        run_id, LEASE, RunStatus.FAILED, now=datetime.now(UTC), result_summary="x", failure=why
    )
    shown = caller.call("runs", "show", run_id).stdout
    for words in ("failed", "prepare_job", "cleanup", "repository_not_found", "GitHub said no.", "submitter"):
        assert words in shown
    assert why.next_step in shown
    assert f"moonmind-appliance runs retry {run_id[:8]}" in shown
    assert "\x1b" not in shown
