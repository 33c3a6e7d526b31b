"""A change above the limit gets no patch."""

from tests.in_container.git_fixture import GitRun


def test_a_change_over_the_limit_is_reported_without_its_patch(git_run: GitRun) -> None:
    """With its size. A change below the limit has its complete patch."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    small = git_run.stage()
    assert (small.result["too_large"], len(small.patch)) == (False, small.result["patch_bytes"])
    git_run.agent("head -c 300000 /dev/urandom > big")
    large = git_run.stage(max_bytes=200_000)
    assert (large.result["too_large"], large.patch) == (True, b"")
    assert large.result["patch_bytes"] > 200_000


def test_a_huge_file_is_refused_without_being_read_into_memory(git_run: GitRun) -> None:
    """It is larger than Git can show: it is reported as too large, at once."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    git_run.agent("truncate -s 100M huge")
    answer = git_run.stage()
    assert answer.result["too_large"] is True
    assert answer.result["patch_bytes"] >= 100 * 1024**2
    assert not (git_run.private / "change.patch").exists()
