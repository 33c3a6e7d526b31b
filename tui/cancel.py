"""Cancels a run from any page that shows one."""

from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.views.run_summary import RunSummary
from tui.screens.page import Page


def cancel(page: Page, run: RunSummary) -> None:
    """Cancel the run, after a confirmation; show the result on the page."""
    if run.final:
        page.show_message(f"Run {run.short_id} has ended ({run.status.value}). There is nothing to cancel.")
        return
    resources, actor = page.tui.resources, page.tui.actor

    def do() -> None:
        page.run_in_background("", lambda: cancel_run(resources, actor, run.run_id), cancelled)

    def cancelled(now: Run) -> None:
        if now.status is RunStatus.CANCELLED:
            page.show_message(f"Run {run.short_id} is cancelled.")
        else:
            page.show_message(f"Run {run.short_id} is being cancelled. This takes a few seconds.")

    page.confirm(
        f"Cancel run {run.short_id} of {run.repository}?",
        "A running phase is stopped. A branch that was already pushed stays. r queues the run again.",
        "Cancel the run",
        do,
    )
