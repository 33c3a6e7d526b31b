"""What the stand-in prints about a push, to the real Git."""

from pathlib import Path

import pytest

from moonmind_appliance.models import FailureCode
from moonmind_appliance.phases.github_failures import git_failure
from moonmind_appliance.phases.github_messages import accepted_push_lines
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.rehearsal.github.push_refusals import PUSH_REFUSALS, PUSH_WARNING
from tests.github.stand_in import SLUG, TOKEN, attempt, git

BRANCH = "speckit/20260301/0f3a9c1e"
CODES = {
    Fault.PUSH_REFUSED: FailureCode.PUSH_REJECTED,
    Fault.PUSH_RULESET: FailureCode.PUSH_REJECTED,
    Fault.PUSH_HOOK: FailureCode.PUSH_REJECTED,
    Fault.PUSH_PROTECTION: FailureCode.PUSH_PROTECTION,
    Fault.PUSH_PRIVATE_EMAIL: FailureCode.AUTHOR_EMAIL_REFUSED,
    Fault.PUSH_LARGE_FILE: FailureCode.FILE_TOO_LARGE,
}


def push(stand_in: StandInGitHub, folder: Path) -> tuple[int, str]:
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)
    done = attempt("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}", folder=folder, token=TOKEN)
    return done.returncode, done.stderr


@pytest.mark.parametrize("fault", PUSH_REFUSALS)
def test_git_shows_every_line_of_a_refusal(stand_in: StandInGitHub, tmp_path: Path, fault: Fault) -> None:
    """And the failure contains each of them, with Git's reason and the right code."""
    stand_in.inject(fault)
    code, stderr = push(stand_in, tmp_path / "clone")
    assert code == 1
    assert BRANCH not in stand_in.branches(SLUG)
    failure = git_failure(stderr, FailureCode.PUSH_REJECTED, f"push {BRANCH} to {SLUG}", pushing=True)
    assert failure.code is CODES[fault]
    text, reason = PUSH_REFUSALS[fault]
    words = [" ".join(line.split()) for line in text.splitlines() if any(map(str.isalnum, line)) and "{" not in line]
    assert [line for line in words if line not in failure.message] == []
    assert failure.message.endswith(f"({reason})")


def test_git_shows_the_warning_about_an_accepted_push(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The branch exists."""
    stand_in.inject(Fault.PUSH_WARNING)
    code, stderr = push(stand_in, tmp_path / "clone")
    assert (code, BRANCH in stand_in.branches(SLUG)) == (0, True)
    assert accepted_push_lines(stderr) == PUSH_WARNING.splitlines()


@pytest.mark.parametrize("other", ["speckit", "speckit/20260301", f"{BRANCH}/x"])
def test_the_real_git_refuses_a_branch_above_or_below(stand_in: StandInGitHub, tmp_path: Path, other: str) -> None:
    """If it is created after `prepare_job`: both names are in the message."""
    bare = stand_in.git_folder(SLUG)
    git("update-ref", f"refs/heads/{other}", git("rev-parse", "main", folder=bare), folder=bare)
    code, stderr = push(stand_in, tmp_path / "clone")
    failure = git_failure(stderr, FailureCode.PUSH_REJECTED, f"push {BRANCH} to {SLUG}", pushing=True)
    assert (code, failure.code) == (1, FailureCode.BRANCH_CONFLICT)
    assert f"'refs/heads/{other}'" in failure.message
    assert BRANCH in failure.message
