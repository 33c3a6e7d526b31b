"""A run as a list shows it."""

from datetime import timedelta

from moonmind_appliance.models import RunStatus
from moonmind_appliance.views.run_summary import CreatedBy, RunSummary
from tests.tui.attached import NOW


def summary(**fields):
    known = {
        "run_id": "0f3a9c1e-0000-4000-8000-000000000000",
        "external_ref": None,
        "repository": "acme/shop",
        "base_branch": "main",
        "dry_run": False,
        "status": RunStatus.QUEUED,
        "waiting_for": None,
        "branch_name": None,
        "pull_request_url": None,
        "result_summary": None,
        "failure": None,
        "clarifications": [],
        "shard": None,
        "created_by": CreatedBy("u", "ada"),
        "accepted_at": NOW - timedelta(minutes=12),
        "started_at": None,
        "completed_at": None,
    }
    return RunSummary(**(known | fields))
