"""Retries a run from any page that shows one."""

from functools import partial

from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.views.run_summary import RunSummary
from tui.screens.page import Page

RETRYABLE = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


def retry(page: Page, run: RunSummary) -> None:
    """Queue the run again; show the result on the page."""
    if run.status not in RETRYABLE:
        status = run.status.value.replace("_", " ")
        page.show_message(f"Run {run.short_id} is {status}. Only failed and cancelled runs can be retried.")
        return
    resources, actor = page.tui.resources, page.tui.actor
    work = partial(retry_run, resources, actor, run.run_id)

    def queued(now: Run) -> None:
        del now
        idle = "" if page.tui.serve_is_running is not False else " `serve` is not running: the run starts when it does."
        page.show_message(f"Run {run.short_id} is queued again.{idle}")

    page.run_in_background("", work, queued)
