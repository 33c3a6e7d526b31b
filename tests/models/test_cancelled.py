"""What a cancelled run says about its branch and its pull request."""

from datetime import UTC, datetime

import pytest

from moonmind_appliance.models import (
    Actor,
    CommittedChange,
    Phase,
    PhaseName,
    PhaseOutput,
    PhaseStatus,
    Run,
    cancelled_summary,
)

URL = "https://github.example/acme/shop/pull/1"
PUSH, OPEN = PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR


def phase(name: PhaseName, status: PhaseStatus, output: PhaseOutput | None = None) -> Phase:
    return Phase(phase=name, status=status, output=output)


def pushed(**fields: object) -> Phase:
    return phase(PUSH, PhaseStatus.SUCCEEDED, CommittedChange(**({"dry_run": False} | fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phases", "fields", "left"),
    [
        ([], {}, ""),
        ([phase(PhaseName.SPECKIT_PLAN, PhaseStatus.RUNNING)], {}, ""),
        ([phase(PUSH, PhaseStatus.RUNNING)], {}, " It was committing and pushing: the branch b may be on GitHub."),
        ([phase(PUSH, PhaseStatus.FAILED)], {}, " It was committing and pushing: the branch b may be on GitHub."),
        ([phase(PUSH, PhaseStatus.RUNNING)], {"dry_run": True}, ""),
        ([pushed()], {}, " Its branch b stays on GitHub; no pull request was opened."),
        (
            [pushed(), phase(OPEN, PhaseStatus.RUNNING)],
            {},
            " Its branch b stays on GitHub, and a pull request may have been opened.",
        ),
        ([pushed(dry_run=True)], {}, ""),
        ([pushed(no_changes="The files are identical.")], {}, ""),
        ([pushed()], {"pull_request_url": URL}, f" Its pull request stays open: {URL}"),
    ],
)
def test_what_stays_on_github(phases: list[Phase], fields: dict[str, object], left: str) -> None:
    """Nothing before the push; a branch, perhaps, during it; a pull request once there is one."""
    run = Run(
        run_id="r",
        repository="acme/shop",
        specify_text="",
        accepted_at=datetime(2026, 3, 1, tzinfo=UTC),
        created_by=Actor("local:ann", "ann"),
        branch_name="b",
        phases=phases,
        **fields,  # type: ignore[arg-type]
    )
    assert cancelled_summary(run) == f"The run was cancelled.{left}"
