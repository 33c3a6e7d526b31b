"""The commit is searched for secrets and pushed, or the run ends with the reason."""

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from moonmind_appliance.in_container.protected_patterns import DEFAULT
from moonmind_appliance.models import (
    PhaseName,
    Run,
    RunStatus,
)
from moonmind_appliance.models.failure import FailureCode, WhoActs
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.appliance_under_test import TOKEN, Act, ApplianceUnderTest, ends, open_appliance
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile
from tests.github.stand_in import attempt, git
from tests.in_container.sent import job_of
from tests.known_tokens import REAL, github_token, private_key
from tests.scripted_acts import (
    assert_nowhere,
    git_fails,
    interrupt_after,
    retry,
    says,
)


def really_pushes(appliance: ApplianceUnderTest, folder: Path) -> Act:
    """Push a commit with the real Git over HTTP."""
    git("clone", "-q", appliance.github.clone_url(appliance.slug), folder, token=TOKEN)
    git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)

    def act(process: FakeExec) -> dict[str, Any]:
        job = job_of(process.spec)
        pushed = attempt("push", "--quiet", job["url"], f"HEAD:refs/heads/{job['branch']}", folder=folder, token=TOKEN)
        process.stderr.write(pushed.stderr.encode())
        return {"exit_code": 1} if pushed.returncode else {}

    return act


PUSHES = [
    (Fault.PUSH_RULESET, FailureCode.PUSH_REJECTED, WhoActs.GITHUB_ADMIN, "- Commits must have verified signatures."),
    (Fault.PUSH_HOOK, FailureCode.PUSH_REJECTED, WhoActs.GITHUB_ADMIN, "Every commit needs a ticket number"),
    (Fault.PUSH_PROTECTION, FailureCode.PUSH_PROTECTION, WhoActs.SUBMITTER, "path: specs/001-x/plan.md:34"),
    (Fault.PUSH_PRIVATE_EMAIL, FailureCode.AUTHOR_EMAIL_REFUSED, WhoActs.OPERATOR, "publish a private email address"),
    (Fault.PUSH_LARGE_FILE, FailureCode.FILE_TOO_LARGE, WhoActs.SUBMITTER, "specs/001-x/data.csv is 123.45 MB"),
    (
        Fault.SSO_REQUIRED,
        FailureCode.GITHUB_SSO_REQUIRED,
        WhoActs.OPERATOR,
        "Authorize the token at https://github.com/",
    ),
    (Fault.TAKEN_DOWN, FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN, "Repository unavailable due to DMCA"),
    (Fault.TOKEN_PERMISSION, FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR, "Write access to repository"),
]


@pytest.mark.parametrize("refusal", PUSHES, ids=[fault.value for fault, *_ in PUSHES])
def test_a_push_that_github_refuses_names_reason_and_person(
    tmp_path: Path, appliance: ApplianceUnderTest, refusal: tuple[Fault, FailureCode, WhoActs, str]
) -> None:
    """In the run's failure and in its status file; after the cause is gone, a retry pushes without another turn."""
    fault, code, who, words = refusal
    push = really_pushes(appliance, tmp_path / "clone")

    def refused(process: FakeExec) -> dict[str, Any] | None:
        appliance.github.inject(fault)
        try:
            return push(process)
        finally:
            appliance.github.clear(fault)

    appliance.git_acts["push"] = [refused, push]
    run = appliance.run()
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (code, who)
    assert words in run.failure.message
    status = run.phase(PhaseName.COMMIT_PUSH).metadata
    assert (status["pushed"], status["failure"]["message"]) == (False, run.failure.message)
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.agent.turns) == 3


def test_what_github_says_about_an_accepted_push_is_in_the_pull_request(
    tmp_path: Path, appliance: ApplianceUnderTest
) -> None:
    """And in the phase's metadata."""
    appliance.git_acts["push"] = [really_pushes(appliance, tmp_path / "clone")]
    appliance.github.inject(Fault.PUSH_WARNING)
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.PUSH_WARNING)
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    (_, warning) = run.phase(PhaseName.COMMIT_PUSH).metadata["github_messages"]
    assert warning.startswith("warning: File specs/001-x/data.csv is 55.00 MB")
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert "## GitHub's messages about the push" in pull.body
    assert "is 55.00 MB" in pull.body


def test_a_retry_after_a_refused_name_uses_the_new_prefix(appliance: ApplianceUnderTest) -> None:
    """If a rule restricts branch names, the operator can act too. After the push the name is fixed."""
    appliance.git_acts["push"] = [
        git_fails("! [remote rejected] x -> x (push declined due to repository rule violations)")
    ]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.PUSH_REJECTED.value)
    appliance.after(branch_prefix="bot")
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert again.branch_name == f"bot/20260301/{run.short_id}"
    assert [pull.head for pull in appliance.github.pull_requests(appliance.slug)] == [again.branch_name]


@pytest.mark.parametrize("mode", [{}, {"spec_workflow_test_mode": True}])
def test_a_dry_run_publishes_nothing(tmp_path: Path, github: StandInGitHub, mode: dict[str, bool]) -> None:
    """By request or for all runs: the commit is made and searched; no push, no pull request; its text is kept."""
    with open_appliance(tmp_path / "data", github, **mode) as appliance:
        run = appliance.run(dry_run=not mode)
        assert ends(run) == (RunStatus.SUCCEEDED, None)
        assert appliance.git_verbs == ["clone", "stage"]
        assert appliance.github.pull_requests(appliance.slug) == []
        assert run.result_summary == f"Dry run: nothing was pushed; the branch would be {run.branch_name}."
        opened = run.phase(PhaseName.OPEN_PR)
        assert (opened.status.value, opened.metadata["title"]) == ("skipped", "Dark mode")


def test_a_tree_that_equals_the_base_is_no_change(appliance: ApplianceUnderTest) -> None:
    """`no_changes`, no push, no pull request, and the reason in the summary and in the skipped phase."""
    appliance.git_acts["stage"] = [says(changed=False, patch_bytes=0, files=[], file_count=0)]
    run = appliance.run()
    assert ends(run) == (RunStatus.NO_CHANGES, None)
    assert "nothing to push" in (run.result_summary or "")
    assert run.phase(PhaseName.OPEN_PR).metadata == {"reason": run.result_summary}
    assert appliance.git_verbs == ["clone", "stage"]


def test_a_dry_run_by_settings_that_are_changed_back_stays_one(appliance: ApplianceUnderTest) -> None:
    """Interrupted after its commit, restarted without SPEC_WORKFLOW_TEST_MODE: no pull request of a missing branch."""
    run = appliance.submit()
    appliance.after(spec_workflow_test_mode=True)
    interrupt_after(appliance, run, PhaseName.COMMIT_PUSH)
    appliance.after(spec_workflow_test_mode=False)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.github.pull_requests(appliance.slug) == []


@pytest.mark.parametrize("verb", ["clone", "stage", "push"])
def test_a_git_container_that_ends_is_started_again(appliance: ApplianceUnderTest, verb: str) -> None:
    """In each phase that runs git; it is not attributed to GitHub."""
    appliance.git_acts[verb] = [lambda process: process.kill_container()]
    run = appliance.run()
    assert run.waiting_for is not None
    assert run.waiting_for.detail.startswith(f"The git container ended during git {verb}.")
    assert appliance.containers() == []


@pytest.mark.parametrize(
    ("verb", "words", "code"),
    [
        ("stage", "error: 401", FailureCode.COMMIT_FAILED),
        ("push", "! [remote rejected] (pre-receive hook declined)", FailureCode.PUSH_REJECTED),
        ("push", "fatal: bad thing", FailureCode.PUSH_REJECTED),
    ],
)
def test_gits_refusal_fails_the_run(appliance: ApplianceUnderTest, verb: str, words: str, code: FailureCode) -> None:
    """By the verb and git's words, which the submitter reads."""
    appliance.git_acts[verb] = [git_fails(words)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, code.value)
    assert words in (run.result_summary or "")


@pytest.mark.parametrize(
    ("verb", "answer", "code"),
    [
        ("stage", {"too_large": True, "patch_bytes": 11 * 1024**2, "patch": ""}, FailureCode.CHANGE_TOO_LARGE),
        # A change that could not be searched completely is not pushed.
        ("stage", {"patch_bytes": 10_000}, FailureCode.COMMIT_FAILED),
        ("push", {"pushed": False, "conflict": "d" * 40}, FailureCode.BRANCH_CONFLICT),
    ],
)
def test_a_change_that_cannot_be_pushed_fails_the_run(
    appliance: ApplianceUnderTest, verb: str, answer: dict[str, Any], code: FailureCode
) -> None:
    """Too large, not seen whole, or its branch taken; no pull request is opened."""
    appliance.git_acts[verb] = [says(**answer)]
    assert ends(appliance.run()) == (RunStatus.FAILED, code.value)
    assert appliance.github.pull_requests(appliance.slug) == []


# Shorter than OpenAI's tokens: known, because it is in the login file.
LOGIN = "rt_kV3x9QzLw0bT7nEr5YpUc2HdGa"


def audit_of(appliance: ApplianceUnderTest, run: Run) -> dict[str, Any]:
    """The run's `credential_audit.json`."""
    (artifact,) = [kept for kept in appliance.store.artifacts.list(run.run_id) if kept.name == "credential_audit.json"]
    audit: dict[str, Any] = json.loads(appliance.resources.files.path(artifact.storage_path).read_bytes())
    return audit


def adds(line: str) -> list[Any]:
    """A change whose file `x` has this second line."""
    patch = f"diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+words\n+{line}\n"
    return [says(patch=patch, patch_bytes=len(patch.encode()))]


@pytest.mark.parametrize("secret", [TOKEN, LOGIN, REAL])
def test_a_secret_in_the_change_stops_it(appliance: ApplianceUnderTest, secret: str) -> None:
    """The appliance's own, the login's, or one by its structure: nothing is pushed, and it is in no kept file."""
    appliance.engine.volume_data[appliance.resources.shards[0].volume].files["auth.json"] = FakeFile(LOGIN.encode())
    appliance.git_acts["stage"] = adds(f"key: {secret}")
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.SECRET_IN_CHANGE.value)
    assert "in x line 2" in (run.result_summary or "")
    assert "push" not in appliance.git_verbs
    assert_nowhere(appliance, secret)


def test_a_refusal_names_the_hash_by_which_the_operator_can_allow_the_value(
    tmp_path: Path, github: StandInGitHub
) -> None:
    """In the message and in the audit. With the hash in NOT_SECRET_SHA256 the same change is pushed."""
    sha256 = hashlib.sha256(REAL.encode()).hexdigest()
    with open_appliance(tmp_path / "data", github) as appliance:
        appliance.git_acts["stage"] = adds(f"key: {REAL}  # gitleaks:allow")
        run = appliance.run()
        message = f"The change contains what looks like a secret: GitHub token in x line 2 (SHA-256 {sha256})."
        assert run.failure is not None
        assert run.failure.message == message
        assert "NOT_SECRET_SHA256" in run.failure.next_step
        audit = audit_of(appliance, run)
        assert audit["found"] == [{"kind": "GitHub token", "file": "x", "line": 2, "sha256": sha256}]
        appliance.after(not_secret_sha256=(sha256,))
        appliance.git_acts["stage"] = adds(f"key: {REAL}")
        run = appliance.run()
        assert ends(run) == (RunStatus.SUCCEEDED, None)
        audit = audit_of(appliance, run)
        assert (audit["found"], audit["allowed_sha256"]) == ([], [sha256])


def test_the_appliances_own_token_cannot_be_allowed(tmp_path: Path, github: StandInGitHub) -> None:
    """Its hash in the settings changes nothing, and the message names none."""
    hashes = tuple(hashlib.sha256(value.encode()).hexdigest() for value in (TOKEN, f"key: {TOKEN}"))
    with open_appliance(tmp_path / "data", github, not_secret_sha256=hashes) as appliance:
        appliance.git_acts["stage"] = adds(f"key: {TOKEN}")
        run = appliance.run()
        assert run.failure is not None
        assert run.failure.message == (
            "The change contains a secret: GITHUB_TOKEN in x line 2 (known to the appliance)."
        )
        assert "push" not in appliance.git_verbs


@pytest.mark.parametrize(
    "line",
    [
        "rt_hw_interrupt_thread_switch(from, to);",
        "mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16(d, a, b, c);",
        "[Hotels](/sk-bratislava-hotels-near-the-old-town-and-castle)",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "export GITHUB_TOKEN=ghp_" + "x" * 36,
    ],
)
def test_words_with_the_form_of_a_token_are_pushed(appliance: ApplianceUnderTest, line: str) -> None:
    """Identifiers, slugs, examples and placeholders stop nothing."""
    appliance.git_acts["stage"] = adds(line)
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)


def test_a_secret_in_a_files_name_is_refused(appliance: ApplianceUnderTest) -> None:
    """The message names the file with its secret redacted."""
    files = [{"status": "A", "path": f"keys/{REAL}.txt", "added": 1, "removed": 0}]
    appliance.git_acts["stage"] = [says(files=files, file_count=1)]
    run = appliance.run()
    assert run.failure is not None
    where = "GitHub token in the name of keys/[redacted:GitHub token].txt (SHA-256 "
    assert run.failure.message.startswith(f"The change contains what looks like a secret: {where}")


def test_two_findings_are_placed_in_their_own_files(appliance: ApplianceUnderTest) -> None:
    """All added lines are searched at once; each finding has the file and line it is in."""
    other = github_token("Ua7mC1xRq4Ke9WfLb2ZhTo6NsYd8Vi")
    patch = (
        "diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,3 @@\n+a\n+b\n"
        f"+key {REAL}\n"
        "diff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -7,0 +8,1 @@\n"
        f"+{other}\n@@ -20,0 +22,2 @@\n+\n+{REAL}\n"
    )
    appliance.git_acts["stage"] = [says(patch=patch, patch_bytes=len(patch))]
    found = audit_of(appliance, appliance.run())["found"]
    assert [(entry["file"], entry["line"]) for entry in found] == [("x", 3), ("y", 8), ("y", 23)]


def test_a_key_is_not_put_together_from_two_places(appliance: ApplianceUnderTest) -> None:
    """Lines with other lines between them are not a token."""
    begin, *rest = private_key(Random(3)).split("\n")  # noqa: S311
    hunks = f"@@ -0,0 +1,1 @@\n+{begin}\n@@ -5,0 +7,{len(rest)} @@\n" + "".join(f"+{line}\n" for line in rest)
    patch = f"diff --git a/x b/x\n--- a/x\n+++ b/x\n{hunks}"
    appliance.git_acts["stage"] = [says(patch=patch, patch_bytes=len(patch))]
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)


def test_a_change_on_a_new_base_is_reported(appliance: ApplianceUnderTest) -> None:
    """Commit and base in the metadata are those on GitHub, and the phase's event says why."""
    new_base = "d" * 40
    appliance.git_acts["push"] = [says(commit="e" * 40, new_base=new_base)]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    status = run.phase(PhaseName.COMMIT_PUSH).metadata
    assert (status["pushed"], status["commit"], status["base_commit"]) == (True, "e" * 40, new_base)
    events = appliance.store.events.after(0, run_id=run.run_id, limit=1000)
    notes = [
        event.data["note"] for event in events if event.data.get("phase") == "commit_push" and "note" in event.data
    ]
    assert notes == [
        "The history of main was rewritten during the run: the change is on top of the new history (dddddddddddd)."
    ]


_PROTECTED_PATH = {"path": ".github/workflows/ci.yml", "reason": "a protected path (PROTECTED_PATHS): not added"}


def test_the_operators_protected_paths_are_left_out_and_noted(appliance: ApplianceUnderTest) -> None:
    """The program gets the patterns of the setting. The number of paths is in the status and in the log."""
    jobs = []

    def stages(process: FakeExec) -> dict[str, Any]:
        jobs.append(job_of(process.spec))
        return {"left_out": [_PROTECTED_PATH], "left_out_count": 1, "protected_count": 1}

    appliance.git_acts["stage"] = [stages]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert jobs[0]["protected"] == list(DEFAULT)
    status = run.phase(PhaseName.COMMIT_PUSH).metadata
    assert (status["left_out"], status["protected_count"]) == ([_PROTECTED_PATH], 1)
    events = appliance.store.events.after(0, run_id=run.run_id, limit=1000)
    assert [
        event.data["note"] for event in events if event.data.get("phase") == "commit_push" and "note" in event.data
    ] == ["Changes at 1 protected paths (PROTECTED_PATHS) are not in the commit."]


def test_a_specification_at_a_protected_path_fails(appliance: ApplianceUnderTest) -> None:
    """A pull request without it, or a run without changes, would be wrong. With other settings a retry commits it."""
    protected = {"left_out": [_PROTECTED_PATH], "left_out_count": 1, "protected_count": 1, "feature_protected": True}
    appliance.git_acts["stage"] = [says(**protected)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.COMMIT_FAILED.value)
    assert run.failure is not None
    assert "is at a protected path (PROTECTED_PATHS)" in run.failure.message
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "stage", "stage", "push"]


def test_only_protected_changes_end_as_no_changes_with_the_reason(appliance: ApplianceUnderTest) -> None:
    """The summary names the setting."""
    changed = {"changed": False, "files": [], "file_count": 0, "patch_bytes": 0}
    appliance.git_acts["stage"] = [
        says(**changed, left_out=[_PROTECTED_PATH], left_out_count=1, protected_count=1),
    ]
    run = appliance.run()
    assert ends(run) == (RunStatus.NO_CHANGES, None)
    assert run.result_summary == (
        "There is nothing to push: the phases' files are complete and identical to those on the base branch, and all "
        "other changes (1) are at protected paths (PROTECTED_PATHS)."
    )


def test_a_change_that_does_not_fit_a_rewritten_base_starts_again_at_a_retry(appliance: ApplianceUnderTest) -> None:
    """The message names the files; the retry clones again, as the finished files belong to the old base."""
    appliance.git_acts["push"] = [says(pushed=False, in_the_way=["README.md", "docs/a.md"])]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.BASE_BRANCH_REWRITTEN.value)
    assert run.failure is not None
    assert run.failure.message == (
        f"The history of the base branch main in {appliance.slug} was rewritten during the run, with other content in "
        "README.md, docs/a.md."
    )
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "stage", "push"] * 2
    assert len(appliance.agent.turns) == 6


def test_a_base_branch_that_is_gone_is_reported_and_a_retry_only_pushes(appliance: ApplianceUnderTest) -> None:
    """If the branch exists again, the finished change is pushed."""
    appliance.git_acts["push"] = [says(pushed=False, base_gone=True)]
    run = appliance.run()
    assert run.failure is not None
    assert (run.failure.code, run.failure.who_acts) == (FailureCode.BASE_BRANCH_NOT_FOUND, WhoActs.SUBMITTER)
    assert run.failure.message == (
        f"{appliance.slug} no longer has the base branch main: it was deleted or renamed during the run. Nothing was "
        "pushed."
    )
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.agent.turns) == 3
