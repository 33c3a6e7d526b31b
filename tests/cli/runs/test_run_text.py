"""A run in a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from moonmind_appliance.cli.runs.run_text import head, outcome, status_text, waits
from moonmind_appliance.models import FailureCode, RunStatus, WaitReason, failure
from moonmind_appliance.views.run_summary import WaitingForDetail
from tests.fakes import NOW
from tests.tui.run_rows import summary


def text_of(shown: RenderableType) -> str:
    written = io.StringIO()
    Console(file=written, width=200, color_system=None).print(shown)
    return written.getvalue()


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (None, ""),
        (WaitingForDetail(WaitReason.SHARD_BUSY, None), "waits for a shard"),
        (WaitingForDetail(WaitReason.DRAINED, None), "waits for the appliance to be resumed"),
    ],
)
def test_what_a_run_waits_for(waiting: WaitingForDetail | None, text: str) -> None:
    """Nothing if it only waits for a free shard."""
    assert waits(summary(waiting_for=waiting)) == text


def test_the_time_is_shown_with_the_reason() -> None:
    """In the table as well."""
    run = summary(waiting_for=WaitingForDetail(WaitReason.QUOTA, NOW))
    assert waits(run).startswith("waits for quota until ")
    assert "waits for quota until" in status_text(run).plain


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"dry_run": True}, ["nothing is pushed"]),
        ({"external_ref": "T-1\x1b[2J"}, ["T-1"]),
        ({"shard": 2}, ["shard"]),
    ],
)
def test_the_facts_of_a_run(fields: dict[str, Any], texts: list[str]) -> None:
    """Texts of others cannot control the terminal."""
    shown = text_of(head(summary(**fields)))
    assert "\x1b" not in shown
    assert [text for text in [*texts, "acme/shop, from main", "ada"] if text not in shown] == []


def test_a_failure_shows_who_acts_and_the_next_step() -> None:
    """How to retry only after the end: a run that waits is retried automatically."""
    why = failure(FailureCode.PUSH_REJECTED, "No.\x1b[2J")
    running = text_of(outcome(summary(failure=why)))
    assert [text for text in ("push_rejected", "No.", why.next_step) if text not in running] == []
    assert "runs retry" not in running
    assert "runs retry 0f3a9c1e" in text_of(outcome(summary(failure=why, status=RunStatus.FAILED)))


def test_a_summary_that_repeats_the_address_is_left_out() -> None:
    """Questions for the reviewers follow."""
    url = "https://github.com/acme/shop/pull/1"
    run = summary(pull_request_url=url, result_summary=f"Pull request {url}.", clarifications=["Who?"])
    shown = text_of(outcome(run))
    assert shown.count(url) == 1
    assert "• Who?" in shown
